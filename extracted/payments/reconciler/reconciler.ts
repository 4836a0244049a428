import { watchOldest } from '@strangler/platform/http/oldest-age.ts';
import type { Log } from '@strangler/platform/log.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { type RepeatedJob, repeat } from '@strangler/platform/repeated-job.ts';
import type { Pool } from 'mysql2/promise';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import { type Learning, newsOf } from '../payment/learning.ts';
import { type Payment, readPayment } from '../payment/ledger.ts';
import { isUnknown } from '../payment/payment-state.ts';
import type { Refunding } from '../payment/refunding.ts';
import type { CheckTimings } from '../payment/timings.ts';
import type { ProviderClient } from '../provider/provider-client.ts';
import { claimDue, claimOne, type Lease } from './claim.ts';

/** What one look at a payment came to. `lost`: another instance had taken it over. */
export type Reconciled = 'decided' | 'still_open' | 'provider_silent' | 'refused' | 'lost';

/**
 * Finds out, by asking the provider, what became of payments whose outcome is not known, and pays back what is owed. It
 * decides nothing by itself: a payment stays open for as long as the provider does not say. Any number of instances share the work.
 */
export type Reconciler = {
  start(): void;
  /** Looks at every payment whose time has come, and gives how many there were. */
  runOnce(): Promise<number>;
  /** Looks at one payment soon, without waiting for the next round. */
  soon(paymentId: number): void;
  stop(): Promise<void>;
};

/** Looks outside the regular rounds at once; what is more waits for the next round. */
const mostAtOnce = 10;

export type ReconcilerParts = {
  pool: Pool;
  clock: Clock;
  log: Log;
  metrics: Registry;
  /** Of the reconciler's own compartment. */
  provider: ProviderClient;
  learning: Learning;
  refunding: Pick<Refunding, 'payBack'>;
  timings: CheckTimings;
  /** How often it looks for payments to ask about. */
  everyMs: number;
  /** Payments asked about at once. */
  capacity: number;
  /** False: the payments are another's to look after. */
  isOwner(): boolean;
};

export function createReconciler(parts: ReconcilerParts): Reconciler {
  const { pool, clock, log, metrics, provider, learning, refunding, timings, everyMs, capacity, isOwner } = parts;
  const underWay = new Set<Promise<void>>();
  let job: RepeatedJob | undefined;
  let stopped = false;
  const looks = new Counter({
    name: 'payments_reconciled_total',
    help: 'Looks at open payments, by what they came to',
    labelNames: ['outcome'],
    registers: [metrics],
  });
  watchUnknown(pool, clock, metrics, log);

  const reconcile = async ({ paymentId, leaseToken }: Lease): Promise<Reconciled> => {
    let payment = await readPayment(pool, { id: paymentId });
    if (payment === undefined) return 'lost';
    let outcome: Reconciled = 'decided';
    if (isUnknown(payment.status)) {
      ({ payment, outcome } = await findOut(payment, leaseToken));
      if (isUnknown(payment.status)) return outcome;
    }
    const paidBack = await refunding.payBack(payment.id, provider);
    return paidBack === 'provider_silent' || paidBack === 'refused' ? paidBack : outcome;
  };

  const findOut = async (payment: Payment, leaseToken: number): Promise<{ payment: Payment; outcome: Reconciled }> => {
    const found = await provider.lookup(payment.reference);
    if (found.kind === 'unknown' || found.kind === 'not_sent') {
      log.warn({ paymentId: payment.id, cause: found.cause }, 'the provider does not say what became of a payment');
      return { payment, outcome: 'provider_silent' };
    }
    if (found.kind === 'none') {
      const sinceMs = clock.now().getTime() - (payment.askedAt ?? payment.createdAt).getTime();
      if (sinceMs < timings.abandonAfterMs) return { payment, outcome: 'still_open' };
      const told = { news: 'failed', failureCode: 'never_charged' } as const;
      // Decided from silence: only while nobody has asked for the charge again or taken the lease.
      const learnt = await learning.learn(payment.id, told, { leaseToken });
      return { payment: learnt?.payment ?? payment, outcome: learnt ? 'decided' : 'lost' };
    }
    const news = newsOf(found.charge);
    if (news === undefined) return { payment, outcome: 'still_open' };
    const learnt = await learning.learn(payment.id, { news, charge: found.charge });
    if (learnt === undefined) return { payment, outcome: 'lost' };
    return { payment: learnt.payment, outcome: learnt.effect === 'mismatch' ? 'refused' : 'decided' };
  };

  const look = async (lease: Lease): Promise<void> => {
    try {
      looks.inc({ outcome: await reconcile(lease) });
    } catch (error) {
      log.error({ err: error, paymentId: lease.paymentId }, 'a payment could not be reconciled');
    }
  };

  const runOnce = async (): Promise<number> => {
    let looked = 0;
    while (!stopped && isOwner()) {
      const leases = await claimDue(pool, clock.now(), capacity, timings);
      await Promise.all(leases.map(look));
      looked += leases.length;
      if (leases.length < capacity) break;
    }
    return looked;
  };

  return {
    runOnce,
    start() {
      job = repeat('payments reconciler', everyMs, log, async () => void (await runOnce()));
    },
    soon(paymentId) {
      if (stopped || underWay.size >= mostAtOnce || !isOwner()) return;
      const work = claimOne(pool, paymentId, clock.now(), timings)
        .then((lease) => lease && look(lease))
        .catch((error: unknown) => log.error({ err: error, paymentId }, 'a payment could not be leased'))
        .finally(() => underWay.delete(work));
      underWay.add(work);
    },
    async stop() {
      stopped = true;
      await job?.stop();
      await Promise.all(underWay);
    },
  };
}

function watchUnknown(pool: Pool, clock: Clock, metrics: Registry, log: Log): void {
  const unknown = "check_at IS NOT NULL AND status IN ('pending', 'cancelling')";
  new Gauge({
    name: 'payments_unknown',
    help: 'Payments whose outcome is not known',
    registers: [metrics],
    async collect() {
      try {
        const [row] = await select<{ found: number }>(pool, `SELECT COUNT(*) AS found FROM payments WHERE ${unknown}`);
        this.set(row?.found ?? 0);
      } catch (error) {
        // The other metrics are told all the same; this one keeps its last value.
        log.warn({ err: error, metric: 'payments_unknown' }, 'open payments could not be counted');
      }
    },
  });
  watchOldest({
    name: 'payments_oldest_unknown_age_seconds',
    help: 'Age of the oldest payment whose outcome is not known',
    async oldest() {
      const sql = `SELECT MIN(created_at) AS oldest FROM payments WHERE ${unknown}`;
      const [row] = await select<{ oldest: Date | null }>(pool, sql);
      return row?.oldest ?? null;
    },
    ...{ clock, log, metrics },
  });
}
