import { parseRowMessage, type RowMessage } from '@strangler/platform/contracts/row-message.ts';
import type { Delivery } from '@strangler/platform/outbox/delivery.ts';
import type { RowChange } from '../engine/apply/row-shape.ts';
import type { Announcement, ToldChange } from './announce.ts';

/** A message as it was read. */
export type ReadChange = { kind: 'row'; message: RowMessage } | { kind: 'poison'; reason: string };

/** Reads a delivery's change, or tells why it can never be one of this slice. */
export function readMessage(delivery: Pick<Delivery, 'body' | 'messageId'>, slice: string): ReadChange {
  const origin = `message ${delivery.messageId}`;
  try {
    const message = parseRowMessage(delivery.body.toString(), origin);
    if (message.slice === slice) return { kind: 'row', message };
    return { kind: 'poison', reason: `${origin}: expected the slice ${slice}, found ${message.slice}` };
  } catch (error) {
    return { kind: 'poison', reason: error instanceof Error ? error.message : String(error) };
  }
}

/** Copied rows are no changes that anybody has made. */
export const isTold = (change: RowChange): change is RowChange & ToldChange => change.at !== undefined;

/** What is told of changes that are in the target, by table. */
export function announcementsOf(
  messages: readonly RowMessage[],
  targetOf: ReadonlyMap<string, string>,
): Announcement[] {
  return [...Map.groupBy(messages, ({ table }) => table)].map(([table, changes]) => ({
    table,
    target: targetOf.get(table) ?? table,
    changes,
  }));
}
