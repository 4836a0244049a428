import { describe, latestEffectMs, type Operation } from './operation.ts';

/**
 * The operations of one value: its write and the reads that found it. `endMs` is the earliest end among them, `startMs` the
 * latest begin. Where the one comes before the other (a forward zone) the register held the value all the while between
 * them; else (a backward zone) there is one instant for all of them between the two.
 */
type Zone = { value: string; endMs: number; startMs: number; operations: Operation[] };

const isForward = ({ endMs, startMs }: Zone): boolean => endMs < startMs;

/**
 * Why the history of one register is not linearisable; null where it is. Takes its acknowledged and unknown writes and
 * the reads that were answered; no two writes write the same value, and `initial` is what the register held before.
 *
 * With unique values this takes no search: P. B. Gibbons and E. Korach, "Testing Shared Memories", SIAM Journal on
 * Computing 26(4), 1997. The history is linearisable if and only if every read's value was written, no read ends before
 * its write begins, no two forward zones overlap, and no backward zone lies within a forward one.
 */
export const whyNotLinearisable = (operations: readonly Operation[], initial: string | null): string | null => {
  const zones = new Map<string, Zone>();
  if (initial !== null) {
    const before = Number.NEGATIVE_INFINITY;
    zones.set(initial, { value: initial, endMs: before, startMs: before, operations: [] });
  }
  const written = new Map<string, Operation>();
  const reads = operations.filter(({ kind }) => kind === 'read');
  const found = new Set(reads.map(({ value }) => value));
  for (const write of operations) {
    if (write.kind !== 'write' || write.value === null) continue;
    // One that nobody has seen may have had its effect after everything else, or none.
    if (write.outcome !== 'ok' && !found.has(write.value)) continue;
    written.set(write.value, write);
    zones.set(write.value, zoneOf(write));
  }
  for (const read of reads) {
    const zone = zones.get(read.value!);
    if (zone === undefined) return `${describe(read)}: nobody has written that`;
    const write = written.get(read.value!);
    if (write !== undefined && latestEffectMs(read) < write.invokedAtMs)
      return `${describe(read)}: it ended before the write began, ${describe(write)}`;
    zone.endMs = Math.min(zone.endMs, latestEffectMs(read));
    zone.startMs = Math.max(zone.startMs, read.invokedAtMs);
    zone.operations.push(read);
  }
  return conflictOf([...zones.values()]);
};

const zoneOf = (write: Operation): Zone => ({
  value: write.value!,
  endMs: latestEffectMs(write),
  startMs: write.invokedAtMs,
  operations: [write],
});

const conflictOf = (zones: Zone[]): string | null => {
  const forward = zones.filter(isForward).sort((one, other) => one.endMs - other.endMs);
  for (const [at, zone] of forward.entries()) {
    const before = forward[at - 1];
    if (before !== undefined && zone.endMs < before.startMs)
      return `both values were there at the same time:\n${showZone(before)}\n${showZone(zone)}`;
  }
  for (const zone of zones) {
    if (isForward(zone)) continue;
    const around = lastEndedBefore(forward, zone.startMs);
    if (around !== undefined && zone.endMs < around.startMs)
      return `a value was there and gone while another one was there throughout:\n${showZone(around)}\n${showZone(zone)}`;
  }
  return null;
};

/** Of zones that do not overlap, in order, the last with its `endMs` before an instant. */
const lastEndedBefore = (forward: readonly Zone[], instantMs: number): Zone | undefined => {
  let [low, high] = [0, forward.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (forward[middle]!.endMs < instantMs) low = middle + 1;
    else high = middle;
  }
  return forward[low - 1];
};

/** The operations that make the zone what it is: who ended first and who began last. */
const showZone = ({ value, operations, endMs, startMs }: Zone): string => {
  const telling = operations.filter(
    (operation) =>
      operation.kind === 'write' || latestEffectMs(operation) === endMs || operation.invokedAtMs === startMs,
  );
  return telling.length === 0
    ? `  the initial value ${JSON.stringify(value)}`
    : telling
        .slice(0, 4)
        .map((operation) => `  ${describe(operation)}`)
        .join('\n');
};
