import { Counter } from 'prom-client';
import { Op, UniqueConstraintError } from 'sequelize';
import { z } from 'zod';
import { inTransaction } from '../../transaction.ts';
import type { ModuleDeps } from '../module.ts';
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
export type WebhookReceiver = {
  /** Takes one webhook whose signature was checked. */
  take(webhook: Webhook): Promise<WebhookOutcome>;
  /** Forgets events that are too old to come again; a bounded number a call. */
  forgetOld(): Promise<void>;
};

export function createWebhookReceiver({
  sequelize,
  models: { Payment, PaymentEvent },
  clock,
  log,
  metrics,
  payments,
}: Pick<ModuleDeps, 'sequelize' | 'models' | 'clock' | 'log' | 'metrics'> & {
  payments: LocalPayments;
}): WebhookReceiver {
  const taken = new Counter({
    name: 'shop_payment_webhooks_total',
    help: 'Webhooks taken from the payment provider, by what they came to',
    labelNames: ['outcome'],
    registers: [metrics],
  });

  const apply = (webhook: Webhook): Promise<WebhookOutcome> =>
    inTransaction(sequelize, async (transaction) => {
      // First of all, so that a second delivery waits here for the first one's end and then finds its row.
      const event = await PaymentEvent.create(
        { event_id: webhook.id, type: webhook.type, payment_id: null, effect: 'ignored', received_at: clock.now() },
        { transaction },
      );
      const { charge } = webhook.data;
      const payment = await Payment.findOne({ where: { reference: charge.reference }, transaction });
      const news = newsOf(charge);
      if (!payment || !news) {
        if (!payment)
          log.warn({ webhook: webhook.id, reference: charge.reference }, 'a webhook names no payment of ours');
        return 'ignored';
      }
      const { effect } = await payments.learn(payment.id, { news, charge }, transaction);
      const outcome = effect === 'changed' ? 'applied' : effect === 'none' ? 'no_effect' : 'mismatch';
      await event.update({ payment_id: payment.id, effect: outcome }, { transaction });
      return outcome;
    });

  return {
    async take(webhook) {
      const outcome = await apply(webhook).catch((error: unknown): WebhookOutcome => {
        if (error instanceof UniqueConstraintError && error.parent.message.includes(webhook.id)) return 'duplicate';
        throw error;
      });
      taken.inc({ outcome });
      return outcome;
    },

    async forgetOld() {
      await PaymentEvent.destroy({
        where: { received_at: { [Op.lt]: new Date(clock.now().getTime() - rememberEventsMs) } },
        limit: 1_000,
      });
    },
  };
}
