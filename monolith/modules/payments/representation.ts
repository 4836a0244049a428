import type { Payment } from './models.ts';

/** A payment as the API shows it. */
export function paymentJson(payment: Payment) {
  return {
    id: payment.id,
    order_id: payment.order_id,
    status: payment.status,
    amount_cents: payment.amount_cents,
    currency: payment.currency,
    failure_code: payment.failure_code,
    created_at: payment.created_at.toISOString(),
    updated_at: payment.updated_at.toISOString(),
  };
}
