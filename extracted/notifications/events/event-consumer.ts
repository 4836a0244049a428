import type { Log } from '@strangler/platform/log.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import { type Consumer, consume, oneByOne } from '@strangler/platform/outbox/consumer.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import { onConnection } from '@strangler/platform/outbox/execute.ts';
import { once } from '@strangler/platform/outbox/inbox.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Pool, PoolConnection } from 'mysql2/promise';
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import { delivererOf, type Side } from '../delivery/deliverer.ts';
import { lockedHandovers } from '../delivery/handovers.ts';
import type { Dispatch } from '../exchanges/dispatch.ts';
import { tellOrder } from '../invoices/invoices.ts';
import { writeNotification } from '../notifications/notifications.ts';
import { tellAccount } from '../recipients/recipients.ts';
import { addJobsOf } from './jobs-of.ts';
import { readShopEvent, type ShopEvent, ShopEventError } from './shop-event.ts';

/** The name that inbox rows bear, whatever the queues are called: an event has its effect once in a database. */
export const inboxConsumer = 'notifications';

export type EventParts = {
  pool: Pool;
  clock: Clock;
  /** Between a notification and its mail. */
  mailDelayMs: number;
  dispatch: Dispatch['dispatch'];
  /** Wakes the streams of an account that has something new. */
  wake(accountId: number): void;
  registry: Registry;
};

export type HandleEvent = (event: ShopEvent) => Promise<'handled' | 'handled before'>;

/**
 * Handles an event once in effect: its inbox row, its notification and the jobs that follow from it are committed together. What
 * comes after the commit (a wake-up, the jobs' publication) is done again for an event that comes again, and is harmless then.
 */
export function createHandleEvent(parts: EventParts): HandleEvent {
  const { pool, clock, mailDelayMs, dispatch, wake, registry } = parts;
  const written = new Counter({
    name: 'notifications_written_total',
    help: 'Notifications by who delivers them: this service, or the shop (silent here).',
    labelNames: ['delivered_by'],
    registers: [registry],
  });
  const age = new Histogram({
    name: 'notifications_event_age_seconds',
    help: 'How old events are when their effect is committed.',
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600],
    registers: [registry],
  });

  const effectOf = async (transaction: PoolConnection, event: ShopEvent): Promise<Side | undefined> => {
    const { meaning, occurredAt } = event;
    switch (meaning.kind) {
      case 'nothing':
        return undefined;
      case 'account registered':
      case 'account renamed':
        await tellAccount(transaction, { ...meaning, at: occurredAt });
        return undefined;
      case 'happening': {
        const { happening, placed } = meaning;
        const { accountId, orderId, kind, amountCents: totalCents, currency } = happening;
        if (placed !== undefined) {
          await tellOrder(transaction, {
            id: orderId,
            accountId,
            totalCents,
            currency,
            ...placed,
            placedAt: occurredAt,
          });
        }
        const deliveredBy = delivererOf(event, await lockedHandovers(transaction));
        const toWrite = { happening, told: event, eventId: event.id, occurredAt, deliveredBy };
        const id = await writeNotification(transaction, toWrite);
        if (deliveredBy === 'service') {
          await addJobsOf(transaction, { id, accountId, kind, orderId }, { now: clock.now(), mailDelayMs });
        }
        return deliveredBy;
      }
    }
  };

  /** What this event's notification has to be done for: also when it was handled before, and whoever did it died then. */
  const after = async (event: ShopEvent): Promise<void> => {
    if (event.meaning.kind !== 'happening') return;
    const jobs = await select<{ id: string | null }>(
      pool,
      `SELECT j.id FROM notifications n LEFT JOIN jobs j ON j.notification_id = n.id AND j.state = 'pending'
        WHERE n.event_id = ? AND n.delivered_by = 'service' ORDER BY j.priority`,
      [event.id],
    );
    if (jobs.length === 0) return;
    wake(event.meaning.happening.accountId);
    await dispatch(jobs.flatMap(({ id }) => (id === null ? [] : [id])));
  };

  return async (event) => {
    const done = await withTransaction(pool, 'READ COMMITTED', (transaction) =>
      once(onConnection(transaction), inboxConsumer, event.id, () => effectOf(transaction, event)),
    );
    if (done.outcome === 'done') {
      if (done.result !== undefined) written.inc({ delivered_by: done.result });
      age.observe(Math.max(0, (Date.now() - event.occurredAt.getTime()) / 1000));
    }
    await after(event);
    return done.outcome === 'done' ? 'handled' : 'handled before';
  };
}

/** Takes the shop's events, in order by key, and acknowledges each when its effect is committed. */
export function consumeEvents({
  rabbit,
  outboxExchange,
  consumer,
  handle,
  prefetch,
  log,
  metrics,
}: {
  rabbit: RabbitConnection;
  outboxExchange: string;
  consumer: string;
  handle: HandleEvent;
  /** Messages of a queue that may be in hand; more wait in RabbitMQ. */
  prefetch: number;
  log: Log;
  metrics: Registry;
}): Consumer {
  const take = async ({ body, headers, messageId }: Delivery): Promise<Outcome> => {
    let event: ShopEvent;
    try {
      event = readShopEvent({ body, headers });
    } catch (error) {
      if (!(error instanceof ShopEventError)) throw error;
      return { outcome: 'poison', reason: `${messageId}: ${error.message}` };
    }
    await handle(event);
    return 'done';
  };
  return consume({
    rabbit,
    exchange: outboxExchange,
    consumer: { name: consumer, order: 'by key' },
    handle: oneByOne(take),
    prefetch,
    log,
    metrics,
  });
}
