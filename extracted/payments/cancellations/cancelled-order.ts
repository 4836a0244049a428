import { type Delivery, jsonOf } from '@strangler/platform/outbox/delivery.ts';
import { markHeader } from '@strangler/platform/outbox/message.ts';
import { z } from 'zod';

/** An order whose cancellation is told to everybody, and whose money is the payments' to give back. */
export type CancelledOrder = {
  /** Of the event; the same however often it is delivered. */
  eventId: string;
  orderId: number;
};

/** `another's`: whoever has the order asks for its money himself. */
export type ReadCancellation =
  | { kind: 'ours'; cancelled: CancelledOrder }
  | { kind: "another's" }
  | { kind: 'fault'; fault: string };

/** What the orders say beside the event where nobody directs what follows from it. */
const wayMark = markHeader('cancellation');

const message = z.object({
  id: z.string().min(1).max(64),
  type: z.literal('order.cancelled'),
  data: z.object({ order_id: z.int().min(1) }),
});

export function readCancelledOrder({ headers, body }: Pick<Delivery, 'headers' | 'body'>): ReadCancellation {
  if (headers[wayMark] !== 'choreographed') return { kind: "another's" };
  const read = message.safeParse(jsonOf(body));
  if (!read.success) return { kind: 'fault', fault: z.prettifyError(read.error) };
  const { id: eventId, data } = read.data;
  return { kind: 'ours', cancelled: { eventId, orderId: data.order_id } };
}
