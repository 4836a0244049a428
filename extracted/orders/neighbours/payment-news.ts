import { change, type Executor } from '@strangler/platform/mysql/statements.ts';
import type { Payment } from './payments.ts';

/** Keeps what the payments have answered of an order's payment, unless something newer is known. */
export async function keepPayment(transaction: Executor, payment: Payment): Promise<void> {
  const { id, orderId, amountCents, currency, status, failureCode, createdAt, updatedAt } = payment;
  await change(
    transaction,
    `INSERT INTO payment_news (order_id, id, amount_cents, currency, status, failure_code, created_at, updated_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE
       status = IF(VALUES(updated_at) >= updated_at, VALUES(status), status),
       failure_code = IF(VALUES(updated_at) >= updated_at, VALUES(failure_code), failure_code),
       updated_at = GREATEST(VALUES(updated_at), updated_at)`,
    [orderId, id, amountCents, currency, status, failureCode, createdAt, updatedAt],
  );
}
