/** Something that must be over by some time, and knows by itself by which. */
export type Timed = { check(nowMs: number): void };

export type Deadlines = { add(timed: Timed): void; delete(timed: Timed): void; close(): void };

/**
 * Looks at everything under way at a fixed pace. One timer for all requests instead of several timers each: a
 * time-out is noticed up to `everyMs` late, and a request costs two operations on a set.
 */
export function createDeadlines(everyMs: number): Deadlines {
  const underWay = new Set<Timed>();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    for (const timed of underWay) timed.check(nowMs);
  }, everyMs);
  timer.unref();
  return {
    add: (timed) => underWay.add(timed),
    delete: (timed) => underWay.delete(timed),
    close: () => clearInterval(timer),
  };
}
