import { randomBytes } from 'node:crypto';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import type { Log } from '@strangler/platform/log.ts';
import { isDuplicate } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { Counter, type Registry } from 'prom-client';
import { refuseCancelled } from '../cancellations/cancelled-orders.ts';
import type { Clock } from '../clock.ts';
import type { Fenced } from '../fenced.ts';
import type { ProviderCharge, ProviderClient } from '../provider/provider-client.ts';
import { type Learning, newsOf } from './learning.ts';
import { insertPayment, markAsked, type Payment, readPayment } from './ledger.ts';
import { type CheckTimings, waitMs } from './timings.ts';

export type ChargeRequest = {
  orderId: number;
  accountId: number;
  amountCents: number;
  currency: string;
  /** The provider's token for the customer's card; never stored. */
  cardToken: string;
};

export type Charging = {
  /**
   * Takes the money for an order, once, however often it is asked. The payment is `pending` where the provider does not say in
   * time. Throws a 409 problem where the order has a payment of another amount or was cancelled before it had one, and 503 where
   * nothing could be sent.
   */
  charge(request: ChargeRequest): Promise<Payment>;
};

export function createCharging(parts: {
  pool: Pool;
  fenced: Fenced;
  learning: Learning;
  provider: ProviderClient;
  clock: Clock;
  log: Log;
  timings: CheckTimings;
  metrics: Registry;
}): Charging {
  const { pool, fenced, learning, provider, clock, log, timings } = parts;
  const charges = new Counter({
    name: 'payments_charges_total',
    help: 'Charges asked of the payment provider, by what it answered in time',
    labelNames: ['outcome'],
    registers: [parts.metrics],
  });

  /** The order's payment; `isNew` where nobody can have charged it yet. */
  const open = (request: ChargeRequest): Promise<{ payment: Payment; isNew: boolean }> =>
    fenced(() =>
      withTransaction(pool, 'READ COMMITTED', async (transaction) => {
        const now = clock.now();
        const checkAt = new Date(now.getTime() + waitMs(0, timings));
        const reference = `pay_${randomBytes(16).toString('hex')}`;
        try {
          const id = await insertPayment(transaction, { ...request, reference }, now, checkAt);
          await refuseCancelled(transaction, request.orderId);
          return { payment: await mustRead({ id }), isNew: true };
        } catch (error) {
          if (!isDuplicate(error)) throw error;
        }
        const payment = await mustRead({ orderId: request.orderId });
        refuseOther(payment, request);
        if (payment.status === 'pending') await markAsked(transaction, payment.id, now, checkAt);
        return { payment, isNew: false };

        async function mustRead(key: { id: number } | { orderId: number }): Promise<Payment> {
          const found = await readPayment(transaction, key, { lock: true });
          if (found === undefined) throw new Error(`the payment of order ${request.orderId} cannot be read`);
          return found;
        }
      }),
    );

  const learnCharge = async (payment: Payment, charge: ProviderCharge): Promise<Payment> => {
    const news = newsOf(charge);
    if (news === undefined) return payment;
    return (await learning.learn(payment.id, { news, charge }))?.payment ?? payment;
  };

  return {
    async charge(request) {
      const { payment, isNew } = await open(request);
      if (payment.status !== 'pending') return payment;
      if (!isNew) {
        // Somebody may have charged it, and have died before the answer.
        const found = await provider.lookup(payment.reference);
        if (found.kind === 'found') return learnCharge(payment, found.charge);
        if (found.kind === 'not_sent') throw cannotSend(found);
        if (found.kind === 'unknown') return payment;
      }
      const { amountCents, currency, reference } = payment;
      const outcome = await provider.charge({ amountCents, currency, reference, cardToken: request.cardToken });
      charges.inc({ outcome: outcome.kind === 'charge' ? outcome.charge.status : outcome.kind });
      switch (outcome.kind) {
        case 'charge':
          return learnCharge(payment, outcome.charge);
        case 'rejected': {
          const told = { news: 'failed', failureCode: 'rejected_by_provider' } as const;
          return (await learning.learn(payment.id, told))?.payment ?? payment;
        }
        case 'not_sent':
          throw cannotSend(outcome);
        case 'unknown':
          log.warn({ paymentId: payment.id, cause: outcome.cause }, 'the outcome of a charge is not known yet');
          return payment;
      }
    },
  };
}

function refuseOther(payment: Payment, { orderId, accountId, amountCents, currency }: ChargeRequest): void {
  const same = payment.accountId === accountId && payment.amountCents === amountCents && payment.currency === currency;
  if (same) return;
  throw new Problem({
    status: 409,
    title: 'Order has another payment',
    detail: `Order ${orderId} has payment ${payment.id}, of another amount or account. An order is paid once.`,
    extensions: { payment_id: payment.id },
  });
}

function cannotSend({ retryAfterMs, cause }: { retryAfterMs: number; cause: string }): Problem {
  const problem = problems.unavailable(
    Math.max(1, retryAfterMs / 1000),
    'The payment provider is not called just now and no money was taken; the payment is pending. Send it again with the same Idempotency-Key.',
  );
  problem.cause = cause;
  return problem;
}
