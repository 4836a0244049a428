/** Work that is under way once for all who want it. */
export type Flights<T> = {
  /** Joins the work of this key, or starts it. `linger` is awaited before the key is free again. */
  join(key: string, work: () => Promise<{ result: T; linger?: Promise<unknown> }>): Promise<T>;
  underWay(key: string): boolean;
};

/**
 * For keys that say what the result stands on: whoever comes with the same key may have the result of work that began
 * before it came.
 */
export function createFlights<T>(): Flights<T> {
  const flights = new Map<string, Promise<T>>();

  return {
    underWay: (key) => flights.has(key),
    join(key, work) {
      const joined = flights.get(key);
      if (joined) return joined;
      const landing = (async () => {
        let linger: Promise<unknown> | undefined;
        try {
          const landed = await work();
          linger = landed.linger;
          return landed.result;
        } finally {
          void Promise.resolve(linger)
            .catch(() => {})
            // Answers that came with the lingering one's are worked off first.
            .then(() => setImmediate(() => flights.delete(key)));
        }
      })();
      flights.set(key, landing);
      return landing;
    },
  };
}

/**
 * For when nothing says what a result stands on: nobody is given the result of work that began before it came. At most one
 * piece of work is under way for a key; all who come meanwhile share the next one.
 */
export function createTurns<T>(): { take(key: string, work: () => Promise<T>): Promise<T> } {
  type Turn = { current: Promise<T>; next: Promise<T> | undefined };
  const turns = new Map<string, Turn>();

  const begin = (key: string, work: () => Promise<T>): Promise<T> => {
    const turn: Turn = { current: work(), next: undefined };
    turns.set(key, turn);
    const end = () => {
      if (turn.next === undefined && turns.get(key) === turn) turns.delete(key);
    };
    turn.current.then(end, end);
    return turn.current;
  };

  return {
    take(key, work) {
      const turn = turns.get(key);
      if (!turn) return begin(key, work);
      turn.next ??= turn.current.then(
        () => begin(key, work),
        () => begin(key, work),
      );
      return turn.next;
    },
  };
}
