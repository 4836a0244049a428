import { createHash } from 'node:crypto';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import type { Log } from '@strangler/platform/log.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import type { Fenced } from '../fenced.ts';
import type { ProviderClient } from '../provider/provider-client.ts';
import { type Learning, newsOf } from './learning.ts';
import { type Payment, type PaymentKey, readPayment, type StoredRefund } from './ledger.ts';
import { askRefund, oweRest, refundDone, refundRefused, restReference } from './money.ts';

/** What an attempt to pay back came to. */
export type PaidBack = 'nothing_due' | 'done' | 'provider_silent' | 'refused';

export type RefundRequest = {
  paymentId: number;
  /** Undefined: all that is left. */
  amountCents: number | undefined;
  /** Of the amount, where the caller names it: another one than the payment's is refused. */
  currency?: string | undefined;
  /** Who asks, and under which Idempotency-Key: these make the refund one, for good. */
  caller: string;
  key: string;
};

export type Refunding = {
  /**
   * Gives money back, once a key. The refund is `requested` where the provider does not say in time. Throws 404, or 409 where
   * there is not that much left or nothing was taken, and 422 where the key was used for another amount.
   */
  refund(request: RefundRequest): Promise<{ payment: Payment; refund: StoredRefund }>;
  /** Takes note that the order is cancelled: money that was or will be taken goes back. Undefined where there is no such payment. */
  cancel(key: PaymentKey): Promise<Payment | undefined>;
  /** Pays what is due of a payment, asking `provider`. */
  payBack(paymentId: number, provider: ProviderClient): Promise<PaidBack>;
};

export function createRefunding(parts: {
  pool: Pool;
  fenced: Fenced;
  learning: Learning;
  provider: ProviderClient;
  log: Log;
}): Refunding {
  const { pool, fenced, learning, provider, log } = parts;

  const payBack: Refunding['payBack'] = async (paymentId, at) => {
    // A payment that the shop left owed has no refund yet.
    const payment = await learning.change(paymentId, (money) =>
      money.status === 'refunding' ? oweRest(money) : money,
    );
    const due = payment?.refunds.filter(({ status }) => status === 'requested') ?? [];
    if (payment === undefined || due.length === 0) return 'nothing_due';
    let worst: PaidBack = 'done';
    let { chargeId } = payment;
    // Whether it was given back already by another system, or by hand, is asked where all of it is due.
    if (chargeId === null || due.some(({ reference }) => reference === restReference(payment))) {
      const found = await at.lookup(payment.reference);
      if (found.kind !== 'found') return 'provider_silent';
      const news = newsOf(found.charge);
      if (news === 'refunded') {
        await learning.learn(paymentId, { news, charge: found.charge });
        return 'done';
      }
      chargeId = found.charge.id;
    }
    for (const refund of due) {
      const ended = await payOne(payment, chargeId, refund, at);
      if (ended !== 'done') worst = ended;
    }
    return worst;
  };

  const payOne = async (
    payment: Payment,
    chargeId: string,
    refund: StoredRefund,
    at: ProviderClient,
  ): Promise<PaidBack> => {
    const { reference } = refund;
    // All of it is asked for as the shop asks for it, so that the same key is the same request whoever sends it.
    const amountCents = refund.amountCents === payment.amountCents ? undefined : refund.amountCents;
    const outcome = await at.refund({ chargeId, amountCents, key: reference });
    if (outcome.kind === 'refunded') {
      await learning.change(payment.id, (money) => refundDone(money, reference));
      return 'done';
    }
    if (outcome.kind !== 'rejected') {
      log.warn({ paymentId: payment.id, reference, cause: outcome.cause }, 'the outcome of a refund is not known yet');
      return 'provider_silent';
    }
    const found = await at.lookup(payment.reference);
    if (found.kind === 'found' && newsOf(found.charge) === 'refunded') {
      await learning.learn(payment.id, { news: 'refunded', charge: found.charge });
      return 'done';
    }
    log.error({ paymentId: payment.id, reference, status: outcome.status }, 'the provider refuses a refund');
    await learning.change(payment.id, (money) => refundRefused(money, reference));
    return 'refused';
  };

  return {
    payBack,

    async refund({ paymentId, amountCents, currency, caller, key }) {
      const reference = refundReference({ paymentId, caller, key });
      await fenced(() =>
        withTransaction(pool, 'READ COMMITTED', async (transaction) => {
          const payment = await readPayment(transaction, { id: paymentId }, { lock: true });
          if (payment === undefined) throw problems.notFound(`There is no payment ${paymentId}.`);
          if (currency !== undefined && currency !== payment.currency) {
            throw refused(`The payment is in ${payment.currency}, not ${currency}.`, payment);
          }
          const decision = askRefund(payment, reference, amountCents);
          switch (decision.kind) {
            case 'refund':
              await learning.write(payment, decision.money, transaction);
              return;
            case 'known':
              return;
            case 'other_amount':
              throw problems.unprocessable(
                `This Idempotency-Key was used for a refund of ${decision.refund.amountCents} cents. Take a new key for a new refund.`,
              );
            case 'not_refundable':
              throw refused(
                `A payment that is ${decision.status} cannot be refunded; only a settled one can.`,
                payment,
              );
            case 'too_much':
              throw refused(`Only ${decision.leftCents} cents of this payment are left to refund.`, payment, {
                left_cents: decision.leftCents,
              });
          }
        }),
      );
      await payBack(paymentId, provider);
      const payment = await readPayment(pool, { id: paymentId });
      const refund = payment?.refunds.find((one) => one.reference === reference);
      if (payment === undefined || refund === undefined)
        throw new Error(`refund ${reference} was made and is not there`);
      return { payment, refund };
    },

    async cancel(key) {
      const payment = await readPayment(pool, key);
      if (payment === undefined) return undefined;
      return (await learning.learn(payment.id, { news: 'order_cancelled' }))?.payment;
    },
  };
}

/** The same for the same caller, key and payment, long after the key itself is forgotten. */
export function refundReference({
  paymentId,
  caller,
  key,
}: {
  paymentId: number;
  caller: string;
  key: string;
}): string {
  const digest = createHash('sha256')
    .update(JSON.stringify([caller, key, paymentId]))
    .digest('hex');
  return `re_${digest.slice(0, 48)}`;
}

function refused(detail: string, payment: Payment, more: Record<string, unknown> = {}): Problem {
  return new Problem({
    status: 409,
    title: 'Refund refused',
    detail,
    extensions: { payment_id: payment.id, ...more },
  });
}
