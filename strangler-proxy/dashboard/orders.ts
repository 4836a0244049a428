import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { isOver, orderKeys, parseSliceOrder, type SliceOrder } from '@strangler/platform/contracts/slice-order.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { z } from 'zod';
import { stageAfter, stageBefore } from './snapshot.ts';

export const orderBody = z.strictObject({
  what: z.enum(['advance', 'rollback']),
  reason: z.string().trim().min(1, 'say why: it stands in the history').max(1000),
  /** The change that was shown; where another has come since, nothing is ordered. */
  basedOn: z.string().min(1).max(64),
});

export type Orders = {
  /** Puts an order up for whoever carries it out. @throws Problem 409 or 422 where it is not put up */
  give(document: FlagDocument, body: z.infer<typeof orderBody>, by: string): Promise<SliceOrder>;
};

/**
 * The order that a request makes of a slice. Pure.
 * @throws Problem 409 where the slice has changed since, 422 where there is no such step.
 */
export const orderOf = (
  document: FlagDocument,
  { what, reason, basedOn }: z.infer<typeof orderBody>,
  by: string,
  at: Date,
): SliceOrder => {
  const { slice, stage, change } = document;
  if (change.id !== basedOn) {
    throw problems.conflict(`${change.by} changed the flags at ${change.at} since you looked; nothing was ordered.`);
  }
  const to = what === 'advance' ? stageAfter(stage) : stage === 'complete' ? null : stageBefore(stage);
  if (to === null) throw problems.unprocessable(`${slice}: from the stage ${stage} there is no ${what}.`);
  if (to === 'complete') {
    throw problems.unprocessable(
      `${slice}: the last step cannot be taken back, so it is not ordered here: "strangler advance ${slice}" asks for the slice's name.`,
    );
  }
  return {
    ...{ slice, what, from: stage, to, by, reason, id: crypto.randomUUID(), at: at.toISOString() },
    ...{ state: 'asked', lines: [], stateAt: at.toISOString() },
  };
};

export const createOrders = (
  { client, root }: { client: ConsulClient; root: string },
  nowMs: () => number = Date.now,
): Orders => ({
  async give(document, body, by) {
    const key = orderKeys(root).slice(document.slice);
    const standing = await client.kv.get(key, { consistent: true });
    const before = standing === undefined ? null : parseSliceOrder(standing.value);
    if (before !== null && !isOver(before, nowMs())) {
      throw problems.conflict(
        `${document.slice}: an order of ${before.by} (${before.what}) is under way since ${before.at}.`,
      );
    }
    const order = orderOf(document, body, by, new Date(nowMs()));
    if (await client.kv.put(key, JSON.stringify(order), { cas: standing?.modifyIndex ?? 0 })) return order;
    throw problems.conflict(
      `${document.slice}: somebody else ordered something at the same time; nothing of yours stands.`,
    );
  },
});
