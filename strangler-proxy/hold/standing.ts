import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';

/** What a proxy does with writes of slices that may have been moved without it, while Consul does not answer it. */
export type WhenCutOff = 'hold' | 'send';

/** How sure a worker may be that what it obeys is what is in force. */
export type Standing = {
  /**
   * Until then whoever moves ownership waits for this proxy, by the clock of `performance.now`; infinite where there is no
   * Consul session to be lost.
   */
  untilMs: number;
  /** The least epoch that a slice is known to have. A document with a lower one is over. */
  floor: ReadonlyMap<string, number>;
};

export const alwaysSure: Standing = { untilMs: Number.POSITIVE_INFINITY, floor: new Map() };

/** Why a slice's writes are kept waiting. */
export type Shut =
  /** The flag says so, until the deadline (milliseconds since the epoch). */
  | { why: 'cut-over'; deadline: number }
  /** Ownership may have been moved, or has been, and the flag that says where to is not known here. */
  | { why: 'cut-off' };

/**
 * Whether a slice's writes must wait, given the document that is obeyed.
 *
 * A proxy whose session may have ended is no longer waited for. From then on it keeps back the writes of slices whose
 * ownership can move in one step, those at stage `reads` or `writes`, until its session is back, and answers 503 when they
 * have waited long enough. The other slices' writes go on as last told: their owner cannot move before they have come
 * to `reads`, and an outage of Consul is no reason to lose a shop's orders. Should one have moved that far in the
 * meantime, the fence in the database that no longer owns the tables refuses the stray. A document whose epoch
 * is known to be over is never followed.
 */
export const shutBy = (
  slice: string,
  document: FlagDocument | undefined,
  standing: Standing,
  nowMs: number,
  whenCutOff: WhenCutOff,
): Shut | null => {
  const floor = standing.floor.get(slice) ?? 0;
  if (document === undefined) return floor === 0 ? null : { why: 'cut-off' };
  if (document.writes.owner === 'held') return { why: 'cut-over', deadline: Date.parse(document.writes.deadline) };
  if (document.epoch < floor) return { why: 'cut-off' };
  if (nowMs < standing.untilMs || whenCutOff === 'send') return null;
  return document.stage === 'reads' || document.stage === 'writes' ? { why: 'cut-off' } : null;
};
