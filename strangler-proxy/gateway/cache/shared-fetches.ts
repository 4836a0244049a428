/** A request's place among those that ask the same: it asks for all of them, or waits for the one that does. */
export type Place<T> =
  | {
      kind: 'lead';
      /** Ends the wait of the others; null: there is nothing that they may have. */
      share(answer: T | null): void;
    }
  | {
      kind: 'follow';
      /** Null where there is nothing to be had, or not within this time. */
      answer(withinMs: number): Promise<T | null>;
    };

export type SharedFetches<T> = { join(key: string): Place<T> };

/** What turned out to be nobody else's is not waited for again for this long. */
const aloneForMs = 5_000;
const mostAlone = 1_000;

/** One request is under way for a key at a time, in this process. Where its answer is for it alone, the others are let go at once. */
export function createSharedFetches<T>(nowMs: () => number = () => performance.now()): SharedFetches<T> {
  const underWay = new Map<string, Promise<T | null>>();
  const alone = new Map<string, number>();

  const isAlone = (key: string): boolean => {
    const untilMs = alone.get(key);
    if (untilMs === undefined) return false;
    if (untilMs > nowMs()) return true;
    alone.delete(key);
    return false;
  };

  return {
    join(key) {
      const asked = underWay.get(key);
      if (asked !== undefined) {
        return {
          kind: 'follow',
          async answer(withinMs) {
            let timer: NodeJS.Timeout | undefined;
            const late = new Promise<null>((resolve) => {
              timer = setTimeout(resolve, withinMs, null);
            });
            try {
              return await Promise.race([asked, late]);
            } finally {
              clearTimeout(timer);
            }
          },
        };
      }
      if (isAlone(key)) return { kind: 'lead', share() {} };
      const { promise, resolve } = Promise.withResolvers<T | null>();
      underWay.set(key, promise);
      let shared = false;
      return {
        kind: 'lead',
        share(answer) {
          if (shared) return;
          shared = true;
          underWay.delete(key);
          if (answer === null) {
            if (alone.size >= mostAlone) alone.delete(alone.keys().next().value!);
            alone.set(key, nowMs() + aloneForMs);
          }
          resolve(answer);
        },
      };
    },
  };
}
