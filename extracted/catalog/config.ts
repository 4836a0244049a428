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
  PORT: port().default(3101),
  GRPC_PORT: port().default(3201),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** This instance's name in Consul. */
  SERVICE_ID: z.string().min(1).optional(),
  /** The catalogue's own database, by its own user. */
  DATABASE_URL: url(['mysql']),
  DATABASE_POOL_MAX: integer({ min: 1, max: 500 }).default(20),
  /** Runs pending schema migrations before the first request is taken. */
  AUTO_MIGRATE: flag().default(false),
  /** Without Redis every read goes to the database. */
  REDIS_URL: url(['redis', 'rediss']).optional(),
  /** Put before every key, so that several catalogues can share one Redis. */
  REDIS_PREFIX: z.string().default('catalog:'),
  /** How long an entry of the cache is served without being built anew behind the answer. */
  CACHE_FRESH: durationMs({ min: 1 }).default(10_000),
  /** How long an entry is kept at most; also the bound on what a change is seen late by of which nobody could be told. */
  CACHE_KEEP: durationMs({ min: 1 }).default(60_000),
  /** How long it is remembered that there is no such product. */
  CACHE_MISSING: durationMs({ min: 1 }).default(3_000),
  /** The longest that a request waits for Redis. */
  CACHE_TIMEOUT: durationMs({ min: 1, max: 1_000 }).default(10),
  /** Without Consul the process does not register itself. */
  CONSUL_URL: url(['http', 'https']).optional(),
  /** Where the pipe announces what it has written here. Without it nothing but time ends what is cached of that. */
  RABBITMQ_URL: url(['amqp', 'amqps']).optional(),
  /** The exchange of the outbox; announcements are on the one beside it. */
  OUTBOX_EXCHANGE: z.string().min(1).max(200).default('outbox'),
  /** From which all instances on one Redis take them. */
  CACHE_QUEUE: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, . _ - (1 to 64)')
    .default('catalog.cache'),
  /** The public keys of whoever signs access tokens. */
  JWKS_URL: url(['http', 'https']).default('http://127.0.0.1:3000/.well-known/jwks.json'),
  /** Where `/api/accounts/me` is; unset: the origin of JWKS_URL. */
  ACCOUNTS_URL: url(['http', 'https']).optional(),
  /** consul://host:port or file://path. Unset: nobody tells who owns the writes, and no epoch is looked at. */
  STRANGLER_FLAGS: z.string().min(1).optional(),
  CONSUL_HTTP_TOKEN: z.string().min(1).optional(),
  /** The slice whose writes are taken here. */
  SLICE: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be the name of a slice: lower-case letters, digits and hyphens')
    .default('catalog'),
  /** How long a write that meets a closed fence waits for it to open. */
  FENCE_WAIT: durationMs({ min: 1, max: 60_000 }).default(fenceWaitMs),
  /** Folder in which the last known flags are kept; unset: a start without the flag store knows none. */
  DATA_DIRECTORY: z.string().min(1).optional(),
  DRAIN_GRACE: durationMs().default(10_000),
  ...serviceTrustVariables,
  /** For tests of those who compare: be wrong in this way, or `none` until told. Only with NODE_ENV=test. */
  PLANTED_FAULT: z.string().min(1).optional(),
  NODE_ENV: z.string().optional(),
});

const checked = schema.refine(({ PLANTED_FAULT, NODE_ENV }) => PLANTED_FAULT === undefined || NODE_ENV === 'test', {
  path: ['PLANTED_FAULT'],
  message: 'makes answers wrong on purpose and is for tests only: unset it, or set NODE_ENV=test',
});

export type CatalogConfig = {
  host: string;
  port: number;
  grpcPort: number;
  logLevel: string;
  serviceId: string | undefined;
  databaseUrl: string;
  databasePoolMax: number;
  autoMigrate: boolean;
  redisUrl: string | undefined;
  redisPrefix: string;
  cache: { freshMs: number; keepMs: number; missingMs: number; timeoutMs: number };
  consulUrl: string | undefined;
  rabbitmqUrl: string | undefined;
  outboxExchange: string;
  cacheQueue: string;
  jwksUrl: string;
  accountsUrl: string;
  flags: string | undefined;
  consulToken: string | undefined;
  slice: string;
  fenceWaitMs: number;
  dataDirectory: string | undefined;
  drainGraceMs: number;
  trust: ServiceTrustConfig;
  /** null: faults can be planted, and none is; undefined: they cannot. */
  plantedFault: string | null | undefined;
};

/** The environment as a typed configuration; throws a ConfigError that names every bad variable. */
export function catalogConfig(env: NodeJS.ProcessEnv = process.env): CatalogConfig {
  const c = loadConfig('catalog', checked, env);
  return {
    host: c.HOST,
    port: c.PORT,
    grpcPort: c.GRPC_PORT,
    logLevel: c.LOG_LEVEL,
    serviceId: c.SERVICE_ID,
    databaseUrl: c.DATABASE_URL,
    databasePoolMax: c.DATABASE_POOL_MAX,
    autoMigrate: c.AUTO_MIGRATE,
    redisUrl: c.REDIS_URL,
    redisPrefix: c.REDIS_PREFIX,
    cache: { freshMs: c.CACHE_FRESH, keepMs: c.CACHE_KEEP, missingMs: c.CACHE_MISSING, timeoutMs: c.CACHE_TIMEOUT },
    consulUrl: c.CONSUL_URL,
    rabbitmqUrl: c.RABBITMQ_URL,
    outboxExchange: c.OUTBOX_EXCHANGE,
    cacheQueue: c.CACHE_QUEUE,
    jwksUrl: c.JWKS_URL,
    accountsUrl: c.ACCOUNTS_URL ?? new URL(c.JWKS_URL).origin,
    flags: c.STRANGLER_FLAGS,
    consulToken: c.CONSUL_HTTP_TOKEN,
    slice: c.SLICE,
    fenceWaitMs: c.FENCE_WAIT,
    dataDirectory: c.DATA_DIRECTORY,
    drainGraceMs: c.DRAIN_GRACE,
    trust: serviceTrustConfig('catalog', c),
    plantedFault: c.PLANTED_FAULT === 'none' ? null : c.PLANTED_FAULT,
  };
}
