/** A request's place among those that ask the same: it asks for all of them, or waits for the one that does. */
export type Place<T> =
  | {
      kind: 'lead';
      /** Ends the wait of the others; null: there is nothing that they may have. `failed`: nobody has an answer. */
      share(answer: T | 'failed' | null): void;
    }
  | {
      kind: 'follow';
      /** Null where there is nothing to be had, or not within this time. */
      answer(withinMs: number): Promise<T | 'failed' | null>;
    }
  /** What was asked for a moment ago was nobody else's. */
  | { kind: 'alone' };

export type SharedFetches<T> = {
  join(key: string): Place<T>;
  /** Whether it was asked for a moment ago to no avail: it failed, or turned out to be nobody else's. What nobody waits for can wait. */
  rests(key: string): boolean;
};

/** What turned out to be nobody else's is neither waited for nor collected again for this long. */
const aloneForMs = 5_000;
const mostAlone = 1_000;
/** What nobody waits for is not asked for again for this long where that has failed. */
const restsAfterFailureMs = 1_000;

/** One request is under way for a key at a time, in this process. Where its answer is for it alone, the others are let go at once. */
export function createSharedFetches<T>(nowMs: () => number = () => performance.now()): SharedFetches<T> {
  const underWay = new Map<string, Promise<T | 'failed' | null>>();
  const failed = new Map<string, number>();
  const alone = new Map<string, number>();

  const stands = (notes: Map<string, number>, key: string): boolean => {
    const untilMs = notes.get(key);
    if (untilMs === undefined) return false;
    if (untilMs > nowMs()) return true;
    notes.delete(key);
    return false;
  };
  const note = (notes: Map<string, number>, key: string, forMs: number): void => {
    if (notes.size >= mostAlone) notes.delete(notes.keys().next().value!);
    notes.set(key, nowMs() + forMs);
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
      if (stands(alone, key)) return { kind: 'alone' };
      const { promise, resolve } = Promise.withResolvers<T | 'failed' | null>();
      underWay.set(key, promise);
      let shared = false;
      return {
        kind: 'lead',
        share(answer) {
          if (shared) return;
          shared = true;
          underWay.delete(key);
          if (answer === null) note(alone, key, aloneForMs);
          else if (answer === 'failed') note(failed, key, restsAfterFailureMs);
          resolve(answer);
        },
      };
    },
    rests: (key) => stands(alone, key) || stands(failed, key),
  };
}
