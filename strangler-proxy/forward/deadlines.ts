/** Something that must be over by some time, and knows by itself by which. */
export type Timed = { check(nowMs: number): void };

/** Where something stands in a `Deadlines`, needed to take it out again. */
export type Place = number;

export type Deadlines = { add(timed: Timed): Place; remove(place: Place): void; close(): void };

/**
 * Looks at everything under way at a fixed pace. One timer for all requests instead of several timers each: a
 * time-out is noticed up to `everyMs` late, and a request costs two stores in an array.
 *
 * An array with free places and not a Set: the tables that a Set outgrows point at one another and at what they held,
 * so that each of them that had grown old kept thousands of finished requests from being collected young.
 */
export function createDeadlines(everyMs: number): Deadlines {
  const places: (Timed | null)[] = [];
  const free: Place[] = [];
  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (const timed of places) timed?.check(nowMs);
  }, everyMs);
  timer.unref();
  return {
    add(timed) {
      const place = free.pop() ?? places.length;
      places[place] = timed;
      return place;
    },
    remove(place) {
      places[place] = null;
      free.push(place);
    },
    close: () => clearInterval(timer),
  };
}
