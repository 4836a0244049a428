import type { ShadowMinute } from '@strangler/platform/contracts/proxy-status.ts';
import type { DropReason, Outcome } from './outcome.ts';

/** What was compared and what was dropped in the last minute, by slice. */
export type LastMinute = {
  found(slice: string, outcome: Outcome): void;
  dropped(slice: string, reason: DropReason): void;
  /** One entry a slice, also where there is nothing to tell. */
  status(): ShadowMinute[];
};

const spanMs = 5_000;
const spans = 12;

type Counts = { outcomes: Map<string, number>; dropped: Map<string, number> };
type Span = { index: number; slices: Map<string, Counts> };

export const createLastMinute = (
  slices: readonly string[],
  nowMs: () => number = () => performance.now(),
): LastMinute => {
  const ring: Span[] = [];

  const countsOf = (slice: string): Counts => {
    const index = Math.floor(nowMs() / spanMs);
    let span = ring[index % spans];
    if (span?.index !== index) {
      span = { index, slices: new Map() };
      ring[index % spans] = span;
    }
    let counts = span.slices.get(slice);
    if (counts === undefined) {
      counts = { outcomes: new Map(), dropped: new Map() };
      span.slices.set(slice, counts);
    }
    return counts;
  };
  const add = (counts: Map<string, number>, name: string, by = 1): void => {
    counts.set(name, (counts.get(name) ?? 0) + by);
  };

  return {
    found: (slice, outcome) => add(countsOf(slice).outcomes, outcome),
    dropped: (slice, reason) => add(countsOf(slice).dropped, reason),
    status() {
      const oldest = Math.floor(nowMs() / spanMs) - spans + 1;
      return slices.map((slice) => {
        const outcomes = new Map<string, number>();
        const dropped = new Map<string, number>();
        for (const span of ring) {
          const counts = span !== undefined && span.index >= oldest ? span.slices.get(slice) : undefined;
          for (const [name, count] of counts?.outcomes ?? []) add(outcomes, name, count);
          for (const [name, count] of counts?.dropped ?? []) add(dropped, name, count);
        }
        return { slice, outcomes: Object.fromEntries(outcomes), dropped: Object.fromEntries(dropped) };
      });
    },
  };
};
