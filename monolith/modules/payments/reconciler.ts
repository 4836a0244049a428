import type { Log } from '@strangler/platform/log.ts';
import { type RepeatedJob, repeat } from '@strangler/platform/repeated-job.ts';
import { Counter, Gauge, type Registry } from 'prom-client';
import { Op } from 'sequelize';
import type { Clock } from '../../clock.ts';
import type { Models } from '../../models/index.ts';
import type { Payment } from './models.ts';
import type { PaymentStatus } from './payment-state.ts';
import type { LocalPayments } from './payments.ts';
import type { ProviderClient } from './provider-client.ts';
import type { PaymentTimings } from './timings.ts';

/** What one question to the provider came to. */
export type Reconciled = 'decided' | 'still_open' | 'provider_silent' | 'refused';

const batch = 50;
/** Refunds paid at once, outside the regular rounds; what is more waits for the next round. */
const mostAtOnce = 10;

/**
 * Finds out, by asking the provider, what became of payments whose outcome is not known, and pays back what is owed. It
 * decides nothing by itself: a payment stays open for as long as the provider does not say.
 */
export class PaymentReconciler {
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #provider: ProviderClient;
  readonly #payments: LocalPayments;
  readonly #timings: PaymentTimings;
  readonly #isOwner: () => boolean;
  readonly #asked: Counter<'outcome'>;
  readonly #underWay = new Set<Promise<void>>();
  #job: RepeatedJob | undefined;
  #stopped = false;

  constructor(parts: {
    models: Models;
    clock: Clock;
    log: Log;
    metrics: Registry;
    provider: ProviderClient;
    payments: LocalPayments;
    timings: PaymentTimings;
    /** Whether the payments are the shop's; while they are another's it rests. */
    isOwner: () => boolean;
  }) {
    this.#models = parts.models;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#provider = parts.provider;
    this.#payments = parts.payments;
    this.#timings = parts.timings;
    this.#isOwner = parts.isOwner;
    this.#asked = new Counter({
      name: 'shop_payments_reconciled_total',
      help: 'Questions to the payment provider about open payments, by what they came to',
      labelNames: ['outcome'],
      registers: [parts.metrics],
    });
    new Gauge({
      name: 'shop_payments_reconciling',
      help: 'Payments that are being asked about or paid back at this moment, outside the regular rounds',
      registers: [parts.metrics],
      collect: this.#countUnderWay(),
    });
  }

  start(): void {
    this.#job = repeat('payments reconciler', this.#timings.reconcileEveryMs, this.#log, async () => {
      await this.runOnce();
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#job?.stop();
    await Promise.all(this.#underWay);
  }

  /** Looks into one payment soon, without waiting for the next round. */
  soon(paymentId: number): void {
    if (this.#stopped || !this.#isOwner() || this.#underWay.size >= mostAtOnce) return;
    const work = this.#models.Payment.findByPk(paymentId)
      .then(async (payment) => {
        if (payment && (await this.#claim(payment))) await this.#reconcile(payment);
      })
      .catch((error: unknown) => this.#log.error({ err: error, paymentId }, 'a payment could not be reconciled'))
      .finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
  }

  /** Asks about every payment whose time has come, and gives how many there were. */
  async runOnce(): Promise<number> {
    if (!this.#isOwner()) return 0;
    const due = await this.#models.Payment.findAll({
      where: { check_at: { [Op.lte]: this.#clock.now() } },
      order: [['check_at', 'ASC']],
      limit: batch,
    });
    let asked = 0;
    for (const payment of due) {
      if (this.#stopped || !this.#isOwner()) break;
      if (!(await this.#claim(payment))) continue;
      asked += 1;
      try {
        await this.#reconcile(payment);
      } catch (error) {
        this.#log.error({ err: error, paymentId: payment.id }, 'a payment could not be reconciled');
      }
    }
    return asked;
  }

  /** Puts the next question off, which only one of several processes can do: that one may ask now. */
  async #claim(payment: Payment): Promise<boolean> {
    if (payment.check_at === null) return false;
    const waitMs = Math.min(
      this.#timings.longestCheckMs,
      this.#timings.firstCheckMs * 2 ** Math.min(payment.checks, 20),
    );
    const [claimed] = await this.#models.Payment.update(
      { check_at: new Date(this.#clock.now().getTime() + waitMs), checks: payment.checks + 1 },
      { where: { id: payment.id, check_at: payment.check_at, checks: payment.checks } },
    );
    return claimed === 1;
  }

  async #reconcile(payment: Payment): Promise<void> {
    let status: PaymentStatus = payment.status;
    let outcome: Reconciled = 'still_open';
    if (status === 'pending' || status === 'cancelling') {
      ({ status, outcome } = await this.#findOut(payment));
    }
    if (status === 'refunding') outcome = await this.#payBack(payment.id);
    this.#asked.inc({ outcome });
  }

  async #findOut(payment: Payment): Promise<{ status: PaymentStatus; outcome: Reconciled }> {
    const found = await this.#provider.lookup(payment.reference);
    if (found.kind === 'unknown') {
      this.#log.warn(
        { paymentId: payment.id, cause: found.cause },
        'the provider does not say what became of a payment',
      );
      return { status: payment.status, outcome: 'provider_silent' };
    }
    if (found.kind === 'none') {
      const ageMs = this.#clock.now().getTime() - payment.created_at.getTime();
      if (ageMs < this.#timings.abandonAfterMs) return { status: payment.status, outcome: 'still_open' };
      const { status } = await this.#payments.learn(payment.id, { news: 'failed', failureCode: 'never_charged' });
      return { status, outcome: 'decided' };
    }
    const learnt = await this.#payments.learnCharge(payment.id, found.charge);
    return learnt
      ? { status: learnt.status, outcome: learnt.effect === 'mismatch' ? 'refused' : 'decided' }
      : { status: payment.status, outcome: 'still_open' };
  }

  async #payBack(paymentId: number): Promise<Reconciled> {
    const payment = await this.#models.Payment.findByPk(paymentId, { rejectOnEmpty: true });
    const charge = await this.#provider.lookup(payment.reference);
    if (charge.kind !== 'found') return 'provider_silent';
    if (charge.charge.refunded_cents < payment.amount_cents) {
      const refund = await this.#provider.refund(charge.charge.id, `refund-${payment.reference}`);
      if (refund.kind === 'unknown') return 'provider_silent';
      if (refund.kind === 'rejected') {
        this.#log.error({ paymentId, status: refund.status }, 'the provider refuses a refund that is owed');
        return 'refused';
      }
    }
    await this.#payments.learn(paymentId, { news: 'refunded' });
    return 'decided';
  }

  #countUnderWay() {
    const underWay = this.#underWay;
    return function (this: Gauge): void {
      this.set(underWay.size);
    };
  }
}
