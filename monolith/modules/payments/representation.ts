import type { PaymentRow } from './models.ts';

/** What is shown of a payment, wherever it is kept. */
export type PaymentShown = Pick<
  PaymentRow,
  'id' | 'order_id' | 'status' | 'amount_cents' | 'currency' | 'failure_code' | 'created_at' | 'updated_at'
>;

/** A payment as the API shows it. */
export function paymentJson(payment: PaymentShown) {
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
