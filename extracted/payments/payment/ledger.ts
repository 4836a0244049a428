import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import { isOpen, type Money, type Refund, refundedCents } from './money.ts';
import type { PaymentStatus } from './payment-state.ts';

/** A payment as its row has it. */
export type Payment = {
  id: number;
  orderId: number;
  accountId: number;
  /** Our name for the payment at the provider, and its idempotency key there. */
  reference: string;
  /** The provider's name for the charge, once it is known. */
  chargeId: string | null;
  amountCents: number;
  currency: string;
  status: PaymentStatus;
  failureCode: string | null;
  /** When the provider is asked next; null when there is nothing left to ask. */
  checkAt: Date | null;
  checks: number;
  /** When the provider was last sent the charge; null for one that another system has sent. */
  askedAt: Date | null;
  /** Grows with every lease: what was found out under an older one may not be decided upon. */
  leaseToken: number;
  createdAt: Date;
  updatedAt: Date;
  refunds: StoredRefund[];
};

export type StoredRefund = Refund & { id: number; createdAt: Date; updatedAt: Date };

/** What a payment was, from a time on. */
export type HistoryEntry = { status: PaymentStatus; refundedCents: number; at: Date };

const columns = `id, order_id AS orderId, account_id AS accountId, reference, provider_charge_id AS chargeId,
  amount_cents AS amountCents, currency, status, failure_code AS failureCode, check_at AS checkAt, checks,
  asked_at AS askedAt, lease_token AS leaseToken, created_at AS createdAt, updated_at AS updatedAt`;

const refundColumns = `id, reference, amount_cents AS amountCents, status, created_at AS createdAt, updated_at AS updatedAt`;

export type PaymentKey = { id: number } | { orderId: number } | { reference: string };

/** The payment with its refunds; with `lock`, nobody else changes either until the transaction ends. */
export async function readPayment(
  db: Executor,
  key: PaymentKey,
  { lock = false }: { lock?: boolean } = {},
): Promise<Payment | undefined> {
  const [column, value] =
    'id' in key ? ['id', key.id] : 'orderId' in key ? ['order_id', key.orderId] : ['reference', key.reference];
  const sql = `SELECT ${columns} FROM payments WHERE ${column} = ?${lock ? ' FOR UPDATE' : ''}`;
  const [row] = await select<Omit<Payment, 'refunds'>>(db, sql, [value]);
  // Refunds are changed only under the lock of their payment.
  return row && { ...row, refunds: await refundsOf(db, row.id) };
}

/** The payments of these orders; orders that have none are left out. */
export async function readPaymentsOf(db: Executor, orderIds: readonly number[]): Promise<Payment[]> {
  const sql = `SELECT ${columns} FROM payments WHERE order_id IN (?)`;
  const payments = await select<Omit<Payment, 'refunds'>>(db, sql, [orderIds]);
  if (payments.length === 0) return [];
  const refunds = await select<StoredRefund & { paymentId: number }>(
    db,
    `SELECT payment_id AS paymentId, ${refundColumns} FROM refunds WHERE payment_id IN (?) ORDER BY id`,
    [payments.map(({ id }) => id)],
  );
  const of = Map.groupBy(refunds, ({ paymentId }) => paymentId);
  return payments.map((payment) => ({
    ...payment,
    refunds: (of.get(payment.id) ?? []).map(({ paymentId: _, ...refund }) => refund),
  }));
}

async function refundsOf(db: Executor, paymentId: number): Promise<StoredRefund[]> {
  return select<StoredRefund>(db, `SELECT ${refundColumns} FROM refunds WHERE payment_id = ? ORDER BY id`, [paymentId]);
}

/** Oldest first. A payment that came here as it is has no earlier history than that. */
export async function historyOf(db: Executor, payment: Payment): Promise<HistoryEntry[]> {
  const found = await select<HistoryEntry>(
    db,
    'SELECT status, refunded_cents AS refundedCents, at FROM payment_history WHERE payment_id = ? ORDER BY id LIMIT 1000',
    [payment.id],
  );
  if (found.length > 0) return found;
  return [{ status: payment.status, refundedCents: refundedCents(payment), at: payment.updatedAt }];
}

export type NewPayment = Pick<Payment, 'orderId' | 'accountId' | 'reference' | 'amountCents' | 'currency'>;

/** Throws the driver's duplicate-key error where the order has a payment. */
export async function insertPayment(db: Executor, fresh: NewPayment, now: Date, checkAt: Date): Promise<number> {
  const { id } = await change(
    db,
    `INSERT INTO payments (order_id, account_id, reference, amount_cents, currency, status, check_at, asked_at, created_at, updated_at)
     VALUES (?, ?, ?, ?, ?, 'pending', ?, ?, ?, ?)`,
    [fresh.orderId, fresh.accountId, fresh.reference, fresh.amountCents, fresh.currency, checkAt, now, now, now],
  );
  await addHistory(db, id, { status: 'pending', refundedCents: 0, at: now });
  return id;
}

/** Says that the charge is sent now, and takes any lease away, so that nobody takes the charge for lost. */
export async function markAsked(db: Executor, id: number, now: Date, checkAt: Date): Promise<void> {
  const sql = 'UPDATE payments SET asked_at = ?, check_at = ?, checks = 0, lease_token = lease_token + 1 WHERE id = ?';
  await change(db, sql, [now, checkAt, id]);
}

/** Writes what has become of a payment that is locked; nothing where nothing has changed. */
export async function writeMoney(
  db: Executor,
  payment: Payment,
  after: Money,
  {
    chargeId = null,
    failureCode,
    now,
    checkAt,
  }: { chargeId?: string | null; failureCode?: string | undefined; now: Date; checkAt: Date },
): Promise<void> {
  const known = new Map(payment.refunds.map((refund) => [refund.reference, refund]));
  for (const { reference, amountCents, status } of after.refunds) {
    const before = known.get(reference);
    if (before === undefined) {
      await change(
        db,
        'INSERT INTO refunds (payment_id, reference, amount_cents, status, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)',
        [payment.id, reference, amountCents, status, now, now],
      );
    } else if (before.status !== status) {
      await change(db, 'UPDATE refunds SET status = ?, updated_at = ? WHERE id = ?', [status, now, before.id]);
    }
  }
  await change(
    db,
    `UPDATE payments SET status = ?, provider_charge_id = COALESCE(provider_charge_id, ?), failure_code = ?, check_at = ?,
       checks = 0, updated_at = ? WHERE id = ?`,
    [
      after.status,
      chargeId,
      after.status === 'failed' ? (failureCode ?? payment.failureCode ?? 'unknown') : payment.failureCode,
      isOpen(after) ? checkAt : null,
      now,
      payment.id,
    ],
  );
  const refunded = refundedCents(after);
  if (after.status !== payment.status || refunded !== refundedCents(payment))
    await addHistory(db, payment.id, { status: after.status, refundedCents: refunded, at: now });
}

async function addHistory(db: Executor, paymentId: number, { status, refundedCents, at }: HistoryEntry): Promise<void> {
  await change(db, 'INSERT INTO payment_history (payment_id, status, refunded_cents, at) VALUES (?, ?, ?, ?)', [
    paymentId,
    status,
    refundedCents,
    at,
  ]);
}
