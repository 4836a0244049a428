import type { Log } from '@strangler/platform/log.ts';
import { change, type Executor, isDuplicate } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { Counter, type Registry } from 'prom-client';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Fenced } from '../fenced.ts';
import { type Effect, type Learning, newsOf } from '../payment/learning.ts';
import { readPayment } from '../payment/ledger.ts';
import { chargeSchema } from '../provider/provider-client.ts';

/** What is read of a webhook; more members are allowed, since the provider adds some from time to time. */
export const webhookSchema = z.object({
  id: z.string().regex(/^[\x21-\x7e]{1,64}$/, 'expected 1 to 64 visible ASCII characters'),
  type: z.string().min(1).max(64),
  data: z.object({ charge: chargeSchema }),
});

export type Webhook = z.infer<typeof webhookSchema>;

/**
 * `applied`: something changed. `duplicate`: this event was taken before. `no_effect`: known already, or contradicted by what is
 * known. `ignored`: nothing that is followed, or about a payment that is not here (yet). `mismatch`: of another amount.
 */
export type WebhookOutcome = 'applied' | 'duplicate' | 'no_effect' | 'ignored' | 'mismatch';

/** How long taken events are remembered; longer by far than the provider sends one again. */
const rememberEventsMs = 30 * 24 * 3_600_000;

/** Takes the provider's webhooks: in any order, each any number of times, with one effect each. */
export type WebhookInbox = {
  /** Takes one whose signature was checked. One about a payment that is not here is parked, and tried again. */
  take(webhook: Webhook): Promise<WebhookOutcome>;
  /** Tries one that was taken before and had no effect then; `unknown`: its payment is still not here. */
  again(webhook: Webhook): Promise<Exclude<WebhookOutcome, 'duplicate'> | 'unknown'>;
  /** Leaves one that nobody can read for the dead letters, once however often it is sent. */
  refuse(eventId: string, reason: string, body: string): Promise<void>;
  /** Forgets events that are too old to come again; a bounded number a call. */
  forgetOld(): Promise<void>;
};

const outcomeOf: Record<Effect, 'applied' | 'no_effect' | 'mismatch'> = {
  changed: 'applied',
  none: 'no_effect',
  mismatch: 'mismatch',
};

export function createWebhookInbox(parts: {
  pool: Pool;
  fenced: Fenced;
  learning: Learning;
  events: EventRecorder;
  clock: Clock;
  log: Log;
  metrics: Registry;
  parkFirstMs: number;
  onRefundOwed(paymentId: number): void;
}): WebhookInbox {
  const { pool, fenced, learning, events, clock, log, parkFirstMs, onRefundOwed } = parts;
  const taken = new Counter({
    name: 'payments_webhooks_total',
    help: 'Webhooks taken from the payment provider, by what they came to',
    labelNames: ['outcome'],
    registers: [parts.metrics],
  });

  const inTransaction = <T>(work: (transaction: Executor) => Promise<T>): Promise<T> =>
    fenced(() => withTransaction(pool, 'READ COMMITTED', work));

  /** False where it is there. First of all, so that a second delivery waits here for the end of the first. */
  const remember = async (eventId: string, type: string, transaction: Executor): Promise<boolean> => {
    try {
      await change(
        transaction,
        "INSERT INTO payment_events (event_id, type, payment_id, effect, received_at) VALUES (?, ?, NULL, 'ignored', ?)",
        [eventId, type, clock.now()],
      );
      return true;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  };

  type Tried = { outcome: Exclude<WebhookOutcome, 'duplicate'> | 'unknown'; owed?: number };

  const attempt = async (webhook: Webhook, transaction: Executor): Promise<Tried> => {
    const { charge } = webhook.data;
    const payment = await readPayment(transaction, { reference: charge.reference }, { lock: true });
    if (!payment) return { outcome: 'unknown' };
    const news = newsOf(charge);
    if (!news) return { outcome: 'ignored' };
    const { effect, payment: after } = await learning.apply(payment, { news, charge }, transaction);
    const outcome = outcomeOf[effect];
    const sql = 'UPDATE payment_events SET payment_id = ?, effect = ? WHERE event_id = ?';
    await change(transaction, sql, [payment.id, outcome, webhook.id]);
    const owed = after.status === 'refunding' && payment.status !== 'refunding';
    return owed ? { outcome, owed: after.id } : { outcome };
  };

  const park = async (webhook: Webhook, transaction: Executor): Promise<void> => {
    const { reference } = webhook.data.charge;
    log.warn({ webhook: webhook.id, reference }, 'a webhook names no payment that is here: it is tried again later');
    const now = clock.now();
    await change(
      transaction,
      'INSERT INTO parked_webhooks (event_id, reference, body, tries, next_try_at, parked_at) VALUES (?, ?, ?, 0, ?, ?)',
      [webhook.id, reference, JSON.stringify(webhook), new Date(now.getTime() + parkFirstMs), now],
    );
    await change(transaction, "UPDATE payment_events SET effect = 'parked' WHERE event_id = ?", [webhook.id]);
  };

  const followUp = ({ owed }: Tried): void => {
    if (owed !== undefined) onRefundOwed(owed);
  };

  return {
    async take(webhook) {
      const tried = await inTransaction(async (transaction): Promise<Tried | { outcome: 'duplicate' }> => {
        if (!(await remember(webhook.id, webhook.type, transaction))) return { outcome: 'duplicate' };
        const first = await attempt(webhook, transaction);
        if (first.outcome === 'unknown') await park(webhook, transaction);
        if (first.outcome === 'mismatch') {
          const reason = 'the charge is of another amount or currency than its payment';
          await events.refusedWebhook({ event_id: webhook.id, reason, body: JSON.stringify(webhook) }, transaction);
        }
        return first;
      });
      if (tried.outcome !== 'duplicate') followUp(tried as Tried);
      const outcome = tried.outcome === 'unknown' ? 'ignored' : tried.outcome;
      taken.inc({ outcome: tried.outcome === 'unknown' ? 'parked' : outcome });
      return outcome;
    },

    async again(webhook) {
      const tried = await inTransaction((transaction) => attempt(webhook, transaction));
      followUp(tried);
      return tried.outcome;
    },

    async refuse(eventId, reason, body) {
      await inTransaction(async (transaction) => {
        if (!(await remember(eventId, 'unreadable', transaction))) return;
        await change(transaction, "UPDATE payment_events SET effect = 'refused' WHERE event_id = ?", [eventId]);
        await events.refusedWebhook({ event_id: eventId, reason, body }, transaction);
      });
      taken.inc({ outcome: 'refused' });
    },

    async forgetOld() {
      const before = new Date(clock.now().getTime() - rememberEventsMs);
      await change(pool, 'DELETE FROM payment_events WHERE received_at < ? LIMIT 1000', [before]);
    },
  };
}
