import { watchOldest } from '@strangler/platform/http/oldest-age.ts';
import type { Log } from '@strangler/platform/log.ts';
import { change, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import { Gauge, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Webhook, WebhookInbox } from './webhook-inbox.ts';

export type ParkTimings = {
  /** The first wait of a webhook whose payment is not here; each further one is twice as long. */
  parkFirstMs: number;
  parkLongestMs: number;
  /** After this time it is given up, and ends among the dead letters. */
  parkForMs: number;
};

/** Tries parked webhooks again: a payment may come later than what is told of it. Any number of instances share the work. */
export type ParkedWebhooks = {
  /** Tries those whose time has come, and gives how many there were. */
  runOnce(): Promise<number>;
};

type Parked = { eventId: string; body: string; tries: number; parkedAt: Date };

const batch = 20;

export function createParkedWebhooks(parts: {
  pool: Pool;
  inbox: Pick<WebhookInbox, 'again'>;
  events: EventRecorder;
  clock: Clock;
  log: Log;
  metrics: Registry;
  timings: ParkTimings;
  isOwner(): boolean;
}): ParkedWebhooks {
  const { pool, inbox, events, clock, log, metrics, timings, isOwner } = parts;
  new Gauge({
    name: 'payments_parked_webhooks',
    help: 'Webhooks about payments that are not here yet',
    registers: [metrics],
    async collect() {
      try {
        const [row] = await select<{ count: number }>(pool, 'SELECT COUNT(*) AS count FROM parked_webhooks');
        this.set(row?.count ?? 0);
      } catch (error) {
        log.warn({ err: error }, 'parked webhooks could not be counted');
      }
    },
  });

  watchOldest({
    name: 'payments_oldest_parked_webhook_age_seconds',
    help: 'Age of the oldest webhook about a payment that is not here yet',
    async oldest() {
      const [row] = await select<{ oldest: Date | null }>(pool, 'SELECT MIN(parked_at) AS oldest FROM parked_webhooks');
      return row?.oldest ?? null;
    },
    ...{ clock, log, metrics },
  });

  const claim = (now: Date): Promise<Parked[]> =>
    withTransaction(pool, 'READ COMMITTED', async (transaction) => {
      const due = await select<Parked>(
        transaction,
        `SELECT event_id AS eventId, body, tries, parked_at AS parkedAt FROM parked_webhooks WHERE next_try_at <= ?
         ORDER BY next_try_at LIMIT ? FOR UPDATE SKIP LOCKED`,
        [now, batch],
      );
      for (const { eventId, tries } of due) {
        const waitMs = Math.min(timings.parkLongestMs, timings.parkFirstMs * 2 ** Math.min(tries + 1, 30));
        const sql = 'UPDATE parked_webhooks SET tries = tries + 1, next_try_at = ? WHERE event_id = ?';
        await change(transaction, sql, [new Date(now.getTime() + waitMs), eventId]);
      }
      return due;
    });

  const leave = (eventId: string) => change(pool, 'DELETE FROM parked_webhooks WHERE event_id = ?', [eventId]);

  const giveUp = ({ eventId, body, tries }: Parked, reason: string): Promise<void> =>
    withTransaction(pool, 'READ COMMITTED', async (transaction) => {
      const { found } = await change(transaction, 'DELETE FROM parked_webhooks WHERE event_id = ?', [eventId]);
      if (found === 0) return;
      log.error({ webhook: eventId, tries }, 'a parked webhook is given up');
      await events.refusedWebhook({ event_id: eventId, reason, body }, transaction);
    });

  const tryOne = async (parked: Parked, now: Date): Promise<void> => {
    const webhook = JSON.parse(parked.body) as Webhook;
    const outcome = await inbox.again(webhook);
    if (outcome === 'mismatch') {
      return giveUp(parked, 'the charge is of another amount or currency than its payment');
    }
    if (outcome !== 'unknown') return void (await leave(parked.eventId));
    const waitedMs = now.getTime() - parked.parkedAt.getTime();
    if (waitedMs < timings.parkForMs) return;
    const { reference } = webhook.data.charge;
    await giveUp(parked, `no payment ${reference} has come within ${Math.round(waitedMs / 1000)} s`);
  };

  return {
    async runOnce() {
      if (!isOwner()) return 0;
      const now = clock.now();
      const due = await claim(now);
      for (const parked of due) {
        try {
          await tryOne(parked, now);
        } catch (error) {
          log.error({ err: error, webhook: parked.eventId }, 'a parked webhook could not be tried');
        }
      }
      return due.length;
    },
  };
}
