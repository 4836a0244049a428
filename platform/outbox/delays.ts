/** Waits of the queues in which a consumer leaves messages for later, in ascending order. */
export type DelayLadder = readonly [number, ...number[]];

/** For waits from half a second to hours; a message for later than the longest takes several of them, one after the other. */
export const defaultDelaysMs: DelayLadder = [500, 2_000, 8_000, 32_000, 128_000, 512_000];

/**
 * In which queue a message that is wanted `afterMs` from now waits next: the longest wait that does not come too late, so that
 * it is looked at again often when its time is near; the shortest where all are too long. Every queue has one wait, because
 * the broker looks at the head of a queue only: behind one that waits long, another would wait as long.
 */
export function delayFor(afterMs: number, delaysMs: DelayLadder): number {
  return delaysMs.findLast((delayMs) => delayMs <= afterMs) ?? delaysMs[0];
}
