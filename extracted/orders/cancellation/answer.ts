import { jsonOf } from '@strangler/platform/outbox/delivery.ts';
import { z } from 'zod';
import type { Payment } from '../neighbours/payments.ts';
import type { Answer } from './cancellation-state.ts';

/** An answer as it was told. `payment`: the whole of it, where it was told. */
export type ReadAnswer = { orderId: number; answer: Answer; payment?: Payment } | { fault: string };

const id = z.int().min(1);
const at = z.iso.datetime();
const about = { order_id: id };
const payment = z.object({
  id,
  status: z.enum(['failed', 'cancelling', 'refunding', 'refunded']),
  amount_cents: z.int().min(0),
  currency: z.string().length(3),
  failure_code: z.string().nullable(),
  created_at: at,
  updated_at: at,
});
const message = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('cancellation.stock_answered'),
    data: z.object({ ...about, outcome: z.enum(['returned', 'released', 'expired']) }),
  }),
  z.object({
    type: z.literal('cancellation.payment_answered'),
    data: z.object({ ...about, payment: payment.nullable() }),
  }),
  z.object({ type: z.literal('payment.refunded'), data: z.object(about) }),
  z.object({ type: z.literal('payment.failed'), data: z.object(about) }),
]);

export function readAnswer(body: Buffer): ReadAnswer {
  const read = message.safeParse(jsonOf(body));
  if (!read.success) return { fault: z.prettifyError(read.error) };
  const { type, data } = read.data;
  const orderId = data.order_id;
  switch (type) {
    case 'cancellation.stock_answered':
      return { orderId, answer: { of: 'stock', outcome: data.outcome } };
    case 'payment.refunded':
      return { orderId, answer: { of: 'payment', status: 'refunded' } };
    case 'payment.failed':
      return { orderId, answer: { of: 'payment', status: 'failed' } };
    case 'cancellation.payment_answered': {
      if (data.payment === null) return { orderId, answer: { of: 'payment', status: 'none' } };
      const { status, amount_cents: amountCents, failure_code: failureCode, currency } = data.payment;
      const times = { createdAt: new Date(data.payment.created_at), updatedAt: new Date(data.payment.updated_at) };
      const known = { id: data.payment.id, orderId, status, amountCents, currency, failureCode, ...times };
      return { orderId, answer: { of: 'payment', status }, payment: known };
    }
  }
}
