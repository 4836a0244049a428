import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { Registry } from 'prom-client';
import { systemClock } from '../clock.ts';
import { consumeEvents, createHandleEvent } from '../events/event-consumer.ts';

// A consumer that is killed between the commit of its first event's effect and everything that comes after it.
const { DATABASE_URL, RABBITMQ_URL, OUTBOX_EXCHANGE, QUEUE_PREFIX } = process.env as Record<string, string>;
const log = createLog({ name: 'deadly', level: 'silent' });
const handle = createHandleEvent({
  ...{ pool: createPool(DATABASE_URL!, { connectionLimit: 2 }), clock: systemClock },
  mailDelayMs: 0,
  registry: new Registry(),
  dispatch: async () => {},
  // The first thing that is done after the commit.
  wake: () => process.kill(process.pid, 'SIGKILL'),
});
consumeEvents({
  rabbit: connect({ url: RABBITMQ_URL!, log }),
  ...{ outboxExchange: OUTBOX_EXCHANGE!, consumer: QUEUE_PREFIX!, handle, prefetch: 10, log, metrics: new Registry() },
});
