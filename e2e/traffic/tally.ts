import type { Visit } from './visitor.ts';

export type Failure = { action: string; failure: string; atMs: number };

/** What all visits together came to. */
export type Tally = {
  total: number;
  failed: number;
  reads: number;
  writes: number;
  servedBy: { monolith: number; service: number };
  failures: readonly Failure[];
  /** Shoppers who were on the service's side and were then decided onto the monolith's while the percentage only grew. */
  stickyMoved: number;
  durationsMs: readonly number[];
};

export type TallyKeeper = {
  add(visit: Visit): void;
  /**
   * The percentage changes now. Until `flipSettled`, workers may obey old and new flags side by side, and nothing is said of who
   * moved; when it falls, those on the service's side are let go.
   */
  flipBegins(direction: 'rises' | 'falls'): void;
  flipSettled(): void;
  tally(): Tally;
  /** Answers of each side to the slice's reads that were begun since the last call. */
  takeSides(): { monolith: number; service: number };
};

/** Failures kept with their words; beyond this they are only counted. */
const mostFailures = 50;

/** The reasons by which a percentage put a read on its side; a fall-back or a forced side says nothing of stickiness. */
const byPercentage = new Set(['percentage', 'all-service', 'all-monolith']);

export const createTally = (): TallyKeeper => {
  const tally = { total: 0, failed: 0, reads: 0, writes: 0, servedBy: { monolith: 0, service: 0 } };
  const failures: Failure[] = [];
  const durationsMs: number[] = [];
  const onService = new Set<string>();
  const moved = new Set<string>();
  let settledAtMs = 0;
  let takenAtMs = 0;
  let sides = { monolith: 0, service: 0 };

  return {
    add(visit) {
      tally.total += 1;
      tally[visit.access === 'read' ? 'reads' : 'writes'] += 1;
      durationsMs.push(visit.durationMs);
      if (visit.failure !== null) {
        tally.failed += 1;
        if (failures.length < mostFailures)
          failures.push({ action: visit.action, failure: visit.failure, atMs: visit.startedAtMs });
      }
      if (visit.side === null) return;
      tally.servedBy[visit.side] += 1;
      const byFlag = byPercentage.has(visit.reason ?? '');
      if (visit.access !== 'read' || !(byFlag || visit.reason === 'fallback')) return;
      if (visit.startedAtMs >= takenAtMs) sides[visit.side] += 1;
      if (!byFlag || visit.startedAtMs < settledAtMs) return;
      if (visit.side === 'service') onService.add(visit.shopper);
      else if (onService.has(visit.shopper)) moved.add(visit.shopper);
    },
    flipBegins(direction) {
      settledAtMs = Number.POSITIVE_INFINITY;
      if (direction === 'falls') onService.clear();
    },
    flipSettled() {
      settledAtMs = performance.timeOrigin + performance.now();
    },
    tally: () => ({ ...tally, stickyMoved: moved.size, failures, durationsMs }),
    takeSides() {
      const taken = sides;
      sides = { monolith: 0, service: 0 };
      takenAtMs = performance.timeOrigin + performance.now();
      return taken;
    },
  };
};

/** Median and 99th percentile, with one decimal. */
export const spread = (values: readonly number[]): { p50: number; p99: number } => {
  const round = (value: number): number => Math.round(value * 10) / 10;
  return { p50: round(percentile(values, 0.5)), p99: round(percentile(values, 0.99)) };
};

/** The value below which a share of the sorted values lies, by nearest rank; 0 for none. */
export const percentile = (values: readonly number[], share: number): number => {
  if (values.length === 0) return 0;
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!;
};
