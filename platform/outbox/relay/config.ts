import { hostname } from 'node:os';
import { z } from 'zod';
import { durationMs, integer, loadConfig, port, url } from '../../config.ts';

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  /** Of health checks and metrics. */
  PORT: port().default(3950),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** The database whose outbox is published. */
  DATABASE_URL: url(['mysql']),
  RABBITMQ_URL: url(['amqp', 'amqps']),
  /** Names this relay among those of the database, in the leases and in logs. */
  RELAY_ID: z.string().min(1).max(50).optional(),
  OUTBOX_EXCHANGE: z.string().min(1).max(255).default('outbox'),
  /** How long a part stays with a relay that does not renew its lease: how long a crash delays its parts. */
  LEASE_TTL: durationMs({ min: 500, max: 300_000 }).default(6_000),
  /** How often leases are renewed and shared among relays. */
  LEASE_RENEW: durationMs({ min: 50, max: 60_000 }).default(1_000),
  /** The longest time between two looks into an outbox that has been empty for a while. */
  POLL_IDLE: durationMs({ min: 1, max: 250 }).default(250),
  /** Published rows are kept this long at least. */
  KEEP_PUBLISHED: durationMs({ min: 60_000 }).default(86_400_000),
  /** How often partitions are made ahead and old ones dropped. */
  ROTATE_EVERY: durationMs({ min: 1_000 }).default(60_000),
  ROWS_PER_PARTITION: integer({ min: 1_000, max: 1_000_000_000 }).default(500_000),
  DRAIN_GRACE: durationMs().default(10_000),
});

export type RelayConfig = {
  host: string;
  port: number;
  logLevel: string;
  databaseUrl: string;
  rabbitmqUrl: string;
  relayId: string;
  exchange: string;
  leaseTimes: { ttlMs: number; renewEveryMs: number };
  pollIdleMs: number;
  rotation: { everyMs: number; horizonMs: number; rowsPerPartition: number };
  drainGraceMs: number;
};

/** The environment as a typed configuration; throws a ConfigError that names every bad variable. */
export function relayConfig(env: NodeJS.ProcessEnv = process.env): RelayConfig {
  const c = loadConfig('relay', schema, env);
  return {
    host: c.HOST,
    port: c.PORT,
    logLevel: c.LOG_LEVEL,
    databaseUrl: c.DATABASE_URL,
    rabbitmqUrl: c.RABBITMQ_URL,
    relayId: c.RELAY_ID ?? `${hostname()}-${process.pid}`.slice(-50),
    exchange: c.OUTBOX_EXCHANGE,
    // Renewed at least three times in a lease's life, whatever is asked for.
    leaseTimes: { ttlMs: c.LEASE_TTL, renewEveryMs: Math.min(c.LEASE_RENEW, Math.floor(c.LEASE_TTL / 3)) },
    pollIdleMs: c.POLL_IDLE,
    rotation: { everyMs: c.ROTATE_EVERY, horizonMs: c.KEEP_PUBLISHED, rowsPerPartition: c.ROWS_PER_PARTITION },
    drainGraceMs: c.DRAIN_GRACE,
  };
}
