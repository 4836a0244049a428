import type { Visit } from '../../traffic/visitor.ts';

export type CutWatch = {
  /** A proxy is killed now. */
  killing(): void;
  /** A write that was cut off at that moment has not failed: nobody knows. */
  see(visit: Visit): Visit;
  count(): number;
};

export const watchCuts = (): CutWatch => {
  let atMs = Number.POSITIVE_INFINITY;
  let cut = 0;
  return {
    killing() {
      atMs = performance.timeOrigin + performance.now();
    },
    see(visit) {
      // A connection that is in use learns of the kill when it is used next.
      const spans = visit.startedAtMs <= atMs + 1_000 && visit.startedAtMs + visit.durationMs >= atMs;
      if (!visit.cutOff || !spans) return visit;
      cut += 1;
      return { ...visit, failure: null };
    },
    count: () => cut,
  };
};
