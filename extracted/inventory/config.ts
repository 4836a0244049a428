import { durationMs, flag, integer, loadConfig, port, url } from '@strangler/platform/config.ts';
import { fenceWaitMs } from '@strangler/platform/ownership/within-fence.ts';
import {
  type ServiceTrustConfig,
  serviceTrustConfig,
  serviceTrustVariables,
} from '@strangler/platform/service-trust/config.ts';
import { z } from 'zod';

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: port().default(3102),
  GRPC_PORT: port().default(3202),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** This instance's name in Consul. */
  SERVICE_ID: z.string().min(1).optional(),
  /** The inventory's own database, by its own user. */
  DATABASE_URL: url(['mysql']),
  DATABASE_POOL_MAX: integer({ min: 1, max: 500 }).default(20),
  /** How many requests may wait for a connection; one more is told to try again. */
  DATABASE_QUEUE_MAX: integer({ min: 0, max: 10_000 }).default(500),
  /** How long a statement waits for stock that another transaction has locked; whole seconds. */
  LOCK_WAIT: durationMs({ min: 1_000, max: 60_000 }).default(3_000),
  /** Runs pending schema migrations before the first request is taken. */
  AUTO_MIGRATE: flag().default(false),
  /** Without Consul the process does not register itself. */
  CONSUL_URL: url(['http', 'https']).optional(),
  /** Where messages wait until reservations are due, and where news of products and cancelled orders comes from. Without it the sweeper alone expires. */
  RABBITMQ_URL: url(['amqp', 'amqps']).optional(),
  /** The exchange that the relay of this database publishes to. */
  OUTBOX_EXCHANGE: z.string().min(1).max(200).default('outbox'),
  /** From which all instances take what is due. */
  EXPIRY_QUEUE: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, . _ - (1 to 64)')
    .default('inventory.expiry'),
  /** From which all instances take that products were made, or removed. */
  PRODUCTS_QUEUE: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, . _ - (1 to 64)')
    .default('inventory.products'),
  /** From which all instances take that orders are cancelled. */
  CANCELLATIONS_QUEUE: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, . _ - (1 to 64)')
    .default('inventory.cancellations'),
  /** How long a handled message is remembered; longer than any dead letter waits to be replayed. */
  INBOX_KEEP: durationMs({ min: 1 }).default(30 * 86_400_000),
  /** The longest that a caller may ask stock to be held. */
  RESERVATION_TTL_MAX: durationMs({ min: 1_000, max: 86_400_000 }).default(1_800_000),
  /** How often reservations are looked for whose time is over and of which no message told. */
  SWEEP_EVERY: durationMs({ min: 10, max: 600_000 }).default(10_000),
  /** How often the levels are read that somebody watches. */
  WATCH_EVERY: durationMs({ min: 10, max: 60_000 }).default(200),
  /** The public keys of whoever signs access tokens. */
  JWKS_URL: url(['http', 'https']).default('http://127.0.0.1:3000/.well-known/jwks.json'),
  /** consul://host:port or file://path. Unset: nobody tells who owns the writes, and no epoch is looked at. */
  STRANGLER_FLAGS: z.string().min(1).optional(),
  CONSUL_HTTP_TOKEN: z.string().min(1).optional(),
  /** The slice whose writes are taken here. */
  SLICE: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be the name of a slice: lower-case letters, digits and hyphens')
    .default('inventory'),
  /** How long a write that meets a closed fence waits for it to open. */
  FENCE_WAIT: durationMs({ min: 1, max: 60_000 }).default(fenceWaitMs),
  /** Folder in which the last known flags are kept; unset: a start without the flag store knows none. */
  DATA_DIRECTORY: z.string().min(1).optional(),
  DRAIN_GRACE: durationMs().default(10_000),
  ...serviceTrustVariables,
});

export type InventoryConfig = {
  host: string;
  port: number;
  grpcPort: number;
  logLevel: string;
  serviceId: string | undefined;
  database: { url: string; poolMax: number; queueMax: number; lockWaitSeconds: number };
  autoMigrate: boolean;
  consulUrl: string | undefined;
  rabbitmqUrl: string | undefined;
  outboxExchange: string;
  expiryQueue: string;
  productsQueue: string;
  cancellationsQueue: string;
  inboxKeepMs: number;
  mostTtlMs: number;
  sweepEveryMs: number;
  watchEveryMs: number;
  jwksUrl: string;
  flags: string | undefined;
  consulToken: string | undefined;
  slice: string;
  fenceWaitMs: number;
  dataDirectory: string | undefined;
  drainGraceMs: number;
  trust: ServiceTrustConfig;
};

/** The environment as a typed configuration; throws a ConfigError that names every bad variable. */
export function inventoryConfig(env: NodeJS.ProcessEnv = process.env): InventoryConfig {
  const c = loadConfig('inventory', schema, env);
  return {
    host: c.HOST,
    port: c.PORT,
    grpcPort: c.GRPC_PORT,
    logLevel: c.LOG_LEVEL,
    serviceId: c.SERVICE_ID,
    database: {
      url: c.DATABASE_URL,
      poolMax: c.DATABASE_POOL_MAX,
      queueMax: c.DATABASE_QUEUE_MAX,
      lockWaitSeconds: Math.ceil(c.LOCK_WAIT / 1_000),
    },
    autoMigrate: c.AUTO_MIGRATE,
    consulUrl: c.CONSUL_URL,
    rabbitmqUrl: c.RABBITMQ_URL,
    outboxExchange: c.OUTBOX_EXCHANGE,
    expiryQueue: c.EXPIRY_QUEUE,
    productsQueue: c.PRODUCTS_QUEUE,
    cancellationsQueue: c.CANCELLATIONS_QUEUE,
    inboxKeepMs: c.INBOX_KEEP,
    mostTtlMs: c.RESERVATION_TTL_MAX,
    sweepEveryMs: c.SWEEP_EVERY,
    watchEveryMs: c.WATCH_EVERY,
    jwksUrl: c.JWKS_URL,
    flags: c.STRANGLER_FLAGS,
    consulToken: c.CONSUL_HTTP_TOKEN,
    slice: c.SLICE,
    fenceWaitMs: c.FENCE_WAIT,
    dataDirectory: c.DATA_DIRECTORY,
    drainGraceMs: c.DRAIN_GRACE,
    trust: serviceTrustConfig('inventory', c),
  };
}
