import type { Log } from '@strangler/platform/log.ts';
import { Counter, type Registry } from 'prom-client';
import { Op, type Sequelize, UniqueConstraintError } from 'sequelize';
import { z } from 'zod';
import type { Clock } from '../../clock.ts';
import type { Models } from '../../models/index.ts';
import { inTransaction } from '../../transaction.ts';
import { type LocalPayments, newsOf } from './payments.ts';
import { providerChargeSchema } from './provider-client.ts';

/** What the shop reads of a webhook; more members are allowed, since the provider adds some from time to time. */
export const webhookSchema = z.object({
  id: z.string().regex(/^[\x21-\x7e]{1,64}$/, 'expected 1 to 64 visible ASCII characters'),
  type: z.string().min(1).max(64),
  data: z.object({ charge: providerChargeSchema }),
});

export type Webhook = z.infer<typeof webhookSchema>;

/**
 * `applied`: something changed. `duplicate`: this event was taken before. `no_effect`: known already, or contradicted by what is known.
 * `ignored`: not about a payment of this shop, or nothing that the shop follows.
 */
export type WebhookOutcome = 'applied' | 'duplicate' | 'no_effect' | 'ignored' | 'mismatch';

/** How long taken events are remembered; longer by far than the provider sends one again. */
const rememberEventsMs = 30 * 24 * 3_600_000;

/** Takes the provider's webhooks: in any order, each any number of times, with one effect each. */
export class WebhookReceiver {
  readonly #sequelize: Sequelize;
  readonly #models: Models;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #payments: LocalPayments;
  readonly #taken: Counter<'outcome'>;

  constructor(parts: {
    sequelize: Sequelize;
    models: Models;
    clock: Clock;
    log: Log;
    metrics: Registry;
    payments: LocalPayments;
  }) {
    this.#sequelize = parts.sequelize;
    this.#models = parts.models;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#payments = parts.payments;
    this.#taken = new Counter({
      name: 'shop_payment_webhooks_total',
      help: 'Webhooks taken from the payment provider, by what they came to',
      labelNames: ['outcome'],
      registers: [parts.metrics],
    });
  }

  /** Takes one webhook whose signature was checked. */
  async take(webhook: Webhook): Promise<WebhookOutcome> {
    const outcome = await this.#apply(webhook);
    this.#taken.inc({ outcome });
    return outcome;
  }

  async #apply(webhook: Webhook): Promise<WebhookOutcome> {
    try {
      return await inTransaction(this.#sequelize, async (transaction) => {
        // First of all, so that a second delivery waits here for the first one's end and then finds its row.
        const event = await this.#models.PaymentEvent.create(
          {
            event_id: webhook.id,
            type: webhook.type,
            payment_id: null,
            effect: 'ignored',
            received_at: this.#clock.now(),
          },
          { transaction },
        );
        const { charge } = webhook.data;
        const payment = await this.#models.Payment.findOne({ where: { reference: charge.reference }, transaction });
        const news = newsOf(charge);
        if (!payment || !news) {
          if (!payment)
            this.#log.warn({ webhook: webhook.id, reference: charge.reference }, 'a webhook names no payment of ours');
          return 'ignored';
        }
        const { effect } = await this.#payments.learn(payment.id, { news, charge }, transaction);
        const outcome = effect === 'changed' ? 'applied' : effect === 'none' ? 'no_effect' : 'mismatch';
        await event.update({ payment_id: payment.id, effect: outcome }, { transaction });
        return outcome;
      });
    } catch (error) {
      if (error instanceof UniqueConstraintError && error.parent.message.includes(webhook.id)) return 'duplicate';
      throw error;
    }
  }

  /** Forgets events that are too old to come again; a bounded number a call. */
  async forgetOld(): Promise<void> {
    await this.#models.PaymentEvent.destroy({
      where: { received_at: { [Op.lt]: new Date(this.#clock.now().getTime() - rememberEventsMs) } },
      limit: 1_000,
    });
  }
}
