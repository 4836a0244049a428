import { deleted, describe, latestEffectMs, type Operation, type Side } from './operation.ts';

/** A row of one side's outbox: what a key held after a change that a writer, and not the pipe, made there. */
export type Captured = {
  side: Side;
  key: string;
  /** `deleted` where the row has gone. */
  value: string;
  epoch: number;
  id: bigint;
};

/** All changes of one key on either side, in the order of their versions, `(epoch, id)`. */
export const inVersionOrder = (captured: readonly Captured[]): Captured[] =>
  [...captured].sort((one, other) =>
    one.epoch !== other.epoch ? one.epoch - other.epoch : one.id < other.id ? -1 : one.id > other.id ? 1 : 0,
  );

/** The changes by which the value became another one: a row may also be written for other reasons. */
export const transitionsOf = (ordered: readonly Captured[], initial: string): Captured[] =>
  ordered.filter(({ value }, at) => value !== (ordered[at - 1]?.value ?? initial));

/**
 * Where the order of versions is not one in which the writes can have come: one that had ended before another was begun
 * has the higher version. Takes the transitions in their order, and the write of each value. Null where there is none.
 */
export const whyOutOfOrder = (
  transitions: readonly Captured[],
  writes: ReadonlyMap<string, Operation>,
): string | null => {
  let earliestEnd: { endMs: number; write: Operation } | undefined;
  for (const { value } of [...transitions].reverse()) {
    const write = writes.get(value);
    if (write === undefined) continue;
    if (earliestEnd !== undefined && earliestEnd.endMs < write.invokedAtMs)
      return `the later write has the lower version:\n  ${describe(write)}\n  ${describe(earliestEnd.write)}`;
    const endMs = latestEffectMs(write);
    if (earliestEnd === undefined || endMs < earliestEnd.endMs) earliestEnd = { endMs, write };
  }
  return null;
};

/** Epochs in which both sides took a write of the key, in words. */
export const epochsOfBothOwners = (captured: readonly Captured[]): string[] => {
  const byEpoch = new Map<number, Partial<Record<Side, Captured>>>();
  for (const row of captured) byEpoch.set(row.epoch, { ...byEpoch.get(row.epoch), [row.side]: row });
  return [...byEpoch].flatMap(([epoch, { monolith, service }]) =>
    monolith !== undefined && service !== undefined
      ? [`in epoch ${epoch} the ${showCaptured(monolith)} and the ${showCaptured(service)}`]
      : [],
  );
};

export const showCaptured = ({ side, key, value, id }: Captured): string =>
  `${side} took ${value === deleted ? 'a delete' : JSON.stringify(value)} of ${key} as outbox row ${id}`;
