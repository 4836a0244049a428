import { type Delivery, jsonOf } from '@strangler/platform/outbox/delivery.ts';
import { markHeader } from '@strangler/platform/outbox/message.ts';
import { z } from 'zod';

/** An order whose cancellation is told to everybody, and whose stock is the inventory's to put back. */
export type CancelledOrder = {
  /** Of the event; the same however often it is delivered. */
  eventId: string;
  orderId: number;
  lines: { productId: number; quantity: number }[];
  /** Undefined: the order knows of none. */
  reservationId: string | undefined;
  /** Who asked for it; null where nobody is named. */
  accountId: number | null;
};

/** `another's`: whoever has the order sees to its stock himself. */
export type ReadCancellation =
  | { kind: 'ours'; cancelled: CancelledOrder }
  | { kind: "another's" }
  | { kind: 'fault'; fault: string };

/** What the orders say beside the event where nobody directs what follows from it. */
const wayMark = markHeader('cancellation');
const reservationMark = markHeader('reservation');
const accountMark = markHeader('asked-by');

const id = z.int().min(1);
const item = z.object({ product_id: id, quantity: z.int().min(1) });
const message = z.object({
  id: z.string().min(1).max(64),
  type: z.literal('order.cancelled'),
  data: z.object({ order_id: id, items: z.array(item).min(1) }),
});
const marks = z.object({
  reservation: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/)
    .optional(),
  account: z.coerce.number().int().min(1).optional(),
});

export function readCancelledOrder({ headers, body }: Pick<Delivery, 'headers' | 'body'>): ReadCancellation {
  if (headers[wayMark] !== 'choreographed') return { kind: "another's" };
  const read = message.safeParse(jsonOf(body));
  if (!read.success) return { kind: 'fault', fault: z.prettifyError(read.error) };
  const said = marks.safeParse({ reservation: headers[reservationMark], account: headers[accountMark] });
  if (!said.success) return { kind: 'fault', fault: z.prettifyError(said.error) };
  const { order_id: orderId, items } = read.data.data;
  const lines = items.map(({ product_id: productId, quantity }) => ({ productId, quantity }));
  const { reservation: reservationId, account: accountId = null } = said.data;
  return { kind: 'ours', cancelled: { eventId: read.data.id, orderId, lines, reservationId, accountId } };
}
