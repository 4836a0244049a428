import { z } from 'zod';
import type { HistoryEntry, Payment, StoredRefund } from '../payment/ledger.ts';
import { cardToken, cents, currency, id } from './fields.ts';

/** The shop's own contract, and what was added to it in its manner. */
export const v1 = {
  chargeBody: z
    .strictObject({ order_id: id, account_id: id, amount_cents: cents, currency, card_token: cardToken })
    .transform((body) => ({
      orderId: body.order_id,
      accountId: body.account_id,
      amountCents: body.amount_cents,
      currency: body.currency,
      cardToken: body.card_token,
    })),

  refundBody: z
    .strictObject({ amount_cents: cents.optional() })
    .transform((body) => ({ amountCents: body.amount_cents, currency: undefined as string | undefined })),

  payment: (payment: Payment, _history: readonly HistoryEntry[]) => ({
    id: payment.id,
    order_id: payment.orderId,
    status: payment.status,
    amount_cents: payment.amountCents,
    currency: payment.currency,
    failure_code: payment.failureCode,
    created_at: payment.createdAt.toISOString(),
    updated_at: payment.updatedAt.toISOString(),
  }),

  refund: (refund: StoredRefund, payment: Payment) => ({
    id: refund.id,
    payment_id: payment.id,
    status: refund.status,
    amount_cents: refund.amountCents,
    currency: payment.currency,
    created_at: refund.createdAt.toISOString(),
    updated_at: refund.updatedAt.toISOString(),
  }),

  path: '/api/payments',
};
