/** What one reader has not taken yet: of each key the newest value, and no more. */
export type Mailbox<Key, Value> = {
  /** Puts a value in the place of an older one of its key; whether there was one, which nobody will ever see. */
  put(key: Key, value: Value): 'added' | 'replaced';
  /** Takes the value that has waited longest, when there is one; throws the reason once closed, whatever is left. */
  take(): Promise<Value>;
  close(reason: Error): void;
};

export function createMailbox<Key, Value>(): Mailbox<Key, Value> {
  const waiting = new Map<Key, Value>();
  let closed: Error | undefined;
  let wake = Promise.withResolvers<void>();

  return {
    put(key, value) {
      const replaced = waiting.has(key);
      // Its turn stays that of the older one: a key that changes all the time is not put off for ever.
      waiting.set(key, value);
      wake.resolve();
      return replaced ? 'replaced' : 'added';
    },
    async take() {
      for (;;) {
        if (closed !== undefined) throw closed;
        const next = waiting.entries().next();
        if (!next.done) {
          waiting.delete(next.value[0]);
          return next.value[1];
        }
        wake = Promise.withResolvers();
        await wake.promise;
      }
    },
    close(reason) {
      closed ??= reason;
      wake.resolve();
    },
  };
}
