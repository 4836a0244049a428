import { durationMs, exitOnConfigError, loadConfig, url } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { declareTopology } from '@strangler/platform/outbox/declare.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { Registry } from 'prom-client';
import { z } from 'zod';
import { systemClock } from './clock.ts';
import { createHandleEvent } from './events/event-consumer.ts';
import { replayEvents } from './events/replay.ts';
import { eventTopology } from './exchanges/topology.ts';

const usage = 'usage: node extracted/notifications/replay.ts first | <ISO 8601 time>\n';

const config = exitOnConfigError(() =>
  loadConfig(
    'notifications replay',
    z.object({
      DATABASE_URL: url(['mysql']),
      RABBITMQ_URL: url(['amqp', 'amqps']),
      OUTBOX_EXCHANGE: z.string().min(1).default('outbox'),
      QUEUE_PREFIX: z.string().min(1).default('notifications'),
      /** It is over when nothing more has come for so long. */
      REPLAY_IDLE: durationMs({ min: 100 }).default(5_000),
      LOG_LEVEL: z.string().default('warn'),
    }),
  ),
);
const [wanted] = process.argv.slice(2);
const time = z.iso.datetime().safeParse(wanted);
if (wanted !== 'first' && !time.success) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  await run(time.success ? { time: new Date(time.data) } : 'first');
}

/**
 * Before the service starts for the first time: binds its queues, so that what is told from now on waits there, and writes what
 * was told before. It wakes nobody and sends nothing on its way; what a mark leaves to this service is put in line when it starts.
 */
async function run(from: 'first' | { time: Date }): Promise<void> {
  const log = createLog({ name: 'notifications-replay', level: config.LOG_LEVEL });
  const pool = createPool(config.DATABASE_URL, { connectionLimit: 2 });
  const rabbit = connect({ url: config.RABBITMQ_URL, log });
  try {
    await declareTopology(rabbit, eventTopology(config.OUTBOX_EXCHANGE, config.QUEUE_PREFIX));
    const handle = createHandleEvent({
      ...{ pool, clock: systemClock, mailDelayMs: 0, registry: new Registry() },
      dispatch: async () => {},
      wake: () => {},
    });
    const { OUTBOX_EXCHANGE: outboxExchange, REPLAY_IDLE: idleMs } = config;
    const counts = await replayEvents({ rabbit, outboxExchange, from, handle, idleMs, log });
    process.stdout.write(`${JSON.stringify(counts)}\n`);
  } catch (error) {
    log.fatal({ err: error }, 'the replay failed');
    process.exitCode = 1;
  } finally {
    await rabbit.close();
    await pool.end();
  }
}
