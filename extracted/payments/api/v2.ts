import { z } from 'zod';
import type { HistoryEntry, Payment, StoredRefund } from '../payment/ledger.ts';
import { refundedCents } from '../payment/money.ts';
import { cardToken, cents, currency, id } from './fields.ts';

const amount = z.strictObject({ value: cents, currency });

const money = (value: number, { currency }: Pick<Payment, 'currency'>) => ({ value, currency });

const shownRefund = (refund: StoredRefund, payment: Payment) => ({
  id: refund.id,
  payment_id: payment.id,
  status: refund.status,
  amount: money(refund.amountCents, payment),
  created_at: refund.createdAt.toISOString(),
  updated_at: refund.updatedAt.toISOString(),
});

/** Amounts are one thing with their currency; refunds and history are part of the payment. */
export const v2 = {
  chargeBody: z.strictObject({ order_id: id, account_id: id, amount, card_token: cardToken }).transform((body) => ({
    orderId: body.order_id,
    accountId: body.account_id,
    amountCents: body.amount.value,
    currency: body.amount.currency,
    cardToken: body.card_token,
  })),

  refundBody: z
    .strictObject({ amount: amount.optional() })
    .transform((body) => ({ amountCents: body.amount?.value, currency: body.amount?.currency })),

  payment: (payment: Payment, history: readonly HistoryEntry[]) => ({
    id: payment.id,
    order_id: payment.orderId,
    status: payment.status,
    amount: money(payment.amountCents, payment),
    refunded: money(refundedCents(payment), payment),
    failure_code: payment.failureCode,
    refunds: payment.refunds.map((refund) => shownRefund(refund, payment)),
    history: history.map((entry) => ({
      status: entry.status,
      refunded: money(entry.refundedCents, payment),
      at: entry.at.toISOString(),
    })),
    created_at: payment.createdAt.toISOString(),
    updated_at: payment.updatedAt.toISOString(),
  }),

  refund: shownRefund,

  path: '/api/v2/payments',
};
