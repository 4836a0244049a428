import type { Log } from '@strangler/platform/log.ts';
import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import type { Clock } from '../clock.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Fenced } from '../fenced.ts';
import type { ProviderCharge } from '../provider/provider-client.ts';
import { type Payment, readPayment, writeMoney } from './ledger.ts';
import { hear, isOpen, type Money } from './money.ts';
import type { PaymentNews } from './payment-state.ts';
import { type CheckTimings, waitMs } from './timings.ts';

/** News of a payment together with the charge that carries it, where there is one. */
export type Told = { news: PaymentNews; charge?: ProviderCharge; failureCode?: string };

/** What was written down. `mismatch`: the charge is of another amount, and nothing was. */
export type Effect = 'changed' | 'none' | 'mismatch';
export type Learnt = { payment: Payment; effect: Effect };

/** Writes down what is learnt of payments, with the events that follow from it, in one transaction. */
export type Learning = {
  /** In a transaction of its own. Undefined where there is no such payment, or its lease is not `leaseToken` any more. */
  learn(paymentId: number, told: Told, options?: { leaseToken?: number }): Promise<Learnt | undefined>;
  /** Of a payment that the transaction has locked. */
  apply(payment: Payment, told: Told, transaction: Executor): Promise<Learnt>;
  /** Changes a payment's money as `decide` says, under its lock. Undefined where there is no such payment. */
  change(paymentId: number, decide: (money: Money) => Money): Promise<Payment | undefined>;
  /** Writes what has become of a payment that the transaction has locked. */
  write(
    payment: Payment,
    after: Money,
    transaction: Executor,
    more?: { chargeId?: string; failureCode?: string },
  ): Promise<Payment>;
};

export type LearningParts = {
  pool: Pool;
  fenced: Fenced;
  events: EventRecorder;
  clock: Clock;
  log: Log;
  timings: CheckTimings;
  /** Called after the commit that made a refund due. */
  onRefundOwed(paymentId: number): void;
};

export function createLearning({ pool, fenced, events, clock, log, timings, onRefundOwed }: LearningParts): Learning {
  const inTransaction = <T>(work: (transaction: Executor) => Promise<T>): Promise<T> =>
    fenced(() => withTransaction(pool, 'READ COMMITTED', work));

  const write: Learning['write'] = async (payment, after, transaction, { chargeId, failureCode } = {}) => {
    const now = clock.now();
    const checkAt = new Date(now.getTime() + waitMs(0, timings));
    await writeMoney(transaction, payment, after, { chargeId: chargeId ?? null, failureCode, now, checkAt });
    const written = await readPayment(transaction, { id: payment.id });
    if (written === undefined) throw new Error(`payment ${payment.id} is locked and cannot be read`);
    if (written.status !== payment.status) await tell(written, transaction);
    return written;
  };

  const tell = async (payment: Payment, transaction: Executor): Promise<void> => {
    const { status, id: payment_id, orderId: order_id, accountId: account_id, currency } = payment;
    const data = {
      ...{ payment_id, order_id, account_id, amount_cents: payment.amountCents, currency },
      occurred_at: payment.updatedAt.toISOString(),
    };
    if (status === 'settled' || status === 'refunded') await events.payment(`payment.${status}`, data, transaction);
    if (status === 'failed') {
      const failure_code = payment.failureCode ?? 'unknown';
      await events.payment('payment.failed', { ...data, failure_code }, transaction);
    }
  };

  const apply: Learning['apply'] = async (payment, { news, charge, failureCode }, transaction) => {
    if (charge && (charge.amount_cents !== payment.amountCents || charge.currency !== payment.currency)) {
      log.error({ paymentId: payment.id, charge }, 'a charge has another amount than its payment: nothing is done');
      return { payment, effect: 'mismatch' };
    }
    const after = hear(payment, news);
    const namesCharge = charge !== undefined && payment.chargeId === null;
    if (after === payment && !namesCharge) return { payment, effect: 'none' };
    const code = failureCode ?? charge?.failure_code;
    const written = await write(payment, after, transaction, {
      ...(charge === undefined ? {} : { chargeId: charge.id }),
      ...(code === undefined || code === null ? {} : { failureCode: code }),
    });
    return { payment: written, effect: after === payment ? 'none' : 'changed' };
  };

  const toldOfOwed = (before: Payment, after: Payment): void => {
    if (after.status === 'refunding' && before.status !== 'refunding') onRefundOwed(after.id);
  };

  return {
    write,
    apply,
    async learn(paymentId, told, { leaseToken } = {}) {
      const known = await inTransaction(async (transaction) => {
        const payment = await readPayment(transaction, { id: paymentId }, { lock: true });
        if (payment === undefined || (leaseToken !== undefined && payment.leaseToken !== leaseToken)) return undefined;
        return { before: payment, learnt: await apply(payment, told, transaction) };
      });
      if (known) toldOfOwed(known.before, known.learnt.payment);
      return known?.learnt;
    },
    change: (paymentId, decide) =>
      inTransaction(async (transaction) => {
        const payment = await readPayment(transaction, { id: paymentId }, { lock: true });
        if (payment === undefined) return undefined;
        const after = decide(payment);
        // A payment with nothing open must not be asked about again, whoever has put it on the list.
        if (after === payment && (isOpen(payment) || payment.checkAt === null)) return payment;
        return write(payment, after, transaction);
      }),
  };
}

/** What a charge says of its payment, if it says anything yet. */
export function newsOf(charge: ProviderCharge): PaymentNews | undefined {
  switch (charge.status) {
    case 'pending':
      return undefined;
    case 'failed':
      return 'failed';
    case 'succeeded':
      return charge.refunded_cents >= charge.amount_cents ? 'refunded' : 'settled';
  }
}
