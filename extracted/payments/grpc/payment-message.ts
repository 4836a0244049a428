import type { Payment } from '../payment/ledger.ts';
import { refundedCents } from '../payment/money.ts';

/** A payments.v1.Payment. */
export type PaymentMessage = ReturnType<typeof paymentMessage>;

export function paymentMessage(payment: Payment) {
  return {
    id: payment.id,
    order_id: payment.orderId,
    account_id: payment.accountId,
    status: payment.status,
    amount_cents: payment.amountCents,
    currency: payment.currency,
    refunded_cents: refundedCents(payment),
    failure_code: payment.failureCode ?? '',
    created_at: payment.createdAt.toISOString(),
    updated_at: payment.updatedAt.toISOString(),
  };
}
