import { durationMs, flag, integer, loadConfig, port, url } from '@strangler/platform/config.ts';
import { fenceWaitMs } from '@strangler/platform/ownership/within-fence.ts';
import {
  grpcTlsOf,
  grpcTlsVariables,
  noServiceTrust,
  type ServiceTrustConfig,
  serviceKeyOf,
  serviceKeyVariables,
} from '@strangler/platform/service-trust/config.ts';
import { z } from 'zod';
import { defaultPaymentTimings, type PaymentTimings } from './modules/payments/timings.ts';

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: port().default(3000),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** The name under which it registers; its own id is SERVICE_ID. */
  SERVICE_NAME: z.string().min(1).default('monolith'),
  SERVICE_ID: z.string().min(1).optional(),
  DATABASE_URL: url(['mysql']),
  DATABASE_POOL_MAX: integer({ min: 1, max: 500 }).default(20),
  /** Without Redis the shop works; settings are then read from the database each time. */
  REDIS_URL: url(['redis', 'rediss']).optional(),
  /** Put before every key, so that several shops can share one Redis. */
  REDIS_PREFIX: z.string().default('shop:'),
  /** Without Consul the process does not register itself. */
  CONSUL_URL: url(['http', 'https']).optional(),
  /** consul://host:port or file://path: who owns the catalogue's writes. Unset: the shop itself. */
  STRANGLER_FLAGS: z.string().min(1).optional(),
  CONSUL_HTTP_TOKEN: z.string().min(1).optional(),
  /** Folder in which the last known flags are kept; unset: a start without the flag store knows none. */
  DATA_DIRECTORY: z.string().min(1).optional(),
  /** The catalogue service; unset: Consul is asked for `catalog`. */
  CATALOG_URL: url(['http', 'https']).optional(),
  /**
   * The inventory service's gRPC, `host:port`, or `consul` to ask Consul for `inventory`. Unset: the stock is the shop's, whatever the
   * flags say. Needs STRANGLER_FLAGS.
   */
  INVENTORY_GRPC: z
    .string()
    .regex(/^(consul|[^\s:]+:\d{1,5})$/, 'must be host:port, or consul')
    .optional(),
  /**
   * The payments service's gRPC, `host:port`, or `consul` to ask Consul for `payments`. Unset: the payments are the shop's, whatever the
   * flags say. Needs STRANGLER_FLAGS, and RABBITMQ_URL to hear of what becomes of them.
   */
  PAYMENTS_GRPC: z
    .string()
    .regex(/^(consul|[^\s:]+:\d{1,5})$/, 'must be host:port, or consul')
    .optional(),
  RABBITMQ_URL: url(['amqp', 'amqps']).optional(),
  /** Where the news of payments wait; each shop on a broker needs a name of its own. */
  PAYMENT_NEWS_QUEUE: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, . _ - (1 to 64)')
    .default('shop.payments'),
  /** The exchange of the outbox. */
  OUTBOX_EXCHANGE: z.string().min(1).max(200).default('outbox'),
  ...serviceKeyVariables,
  ...grpcTlsVariables,
  /** How long a write that meets a closed fence waits for the ownership to be moved. */
  FENCE_WAIT: durationMs({ min: 1, max: 60_000 }).default(fenceWaitMs),
  /** Runs pending schema migrations before the first request is taken. */
  AUTO_MIGRATE: flag().default(false),
  DRAIN_GRACE: durationMs().default(10_000),
  /** Ed25519 private key, PKCS#8 PEM. Without either one, a key is made at the first start and kept in `signing_keys`. */
  JWT_PRIVATE_KEY: z.string().optional(),
  JWT_PRIVATE_KEY_FILE: z.string().optional(),
  ACCESS_TOKEN_TTL: durationMs().default(15 * 60_000),
  REFRESH_TOKEN_TTL: durationMs().default(30 * 24 * 3_600_000),
  /** Binary logarithm of the work factor of password hashing; 15 takes some 0.2 s and 32 MiB a log-in. */
  PASSWORD_LOG_COST: integer({ min: 12, max: 20 }).default(15),
  /** `HH:MM` in UTC at which the nightly price job runs; unset: it does not run. */
  PRICE_JOB_AT: z
    .string()
    .regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'expected HH:MM in UTC, such as 03:15')
    .optional(),
  PAYMENT_PROVIDER_URL: url(['http', 'https']).default('http://127.0.0.1:3900'),
  /** Where the payment provider reaches this process with its webhooks; unset: the address it listens on. */
  PUBLIC_URL: url(['http', 'https']).optional(),
  PAYMENT_WEBHOOK_SECRET: z.string().min(16).default('development-webhook-secret'),
  /** How long the payment provider may take to answer. */
  PAYMENT_TIMEOUT: durationMs({ min: 1 }).default(defaultPaymentTimings.chargeTimeoutMs),
  /** How often payments are looked for whose outcome is not known. */
  PAYMENT_RECONCILE_EVERY: durationMs({ min: 1 }).default(defaultPaymentTimings.reconcileEveryMs),
  /** How old such a payment is when the provider is first asked about it. */
  PAYMENT_CHECK_AFTER: durationMs({ min: 1 }).default(defaultPaymentTimings.firstCheckMs),
  /** After this time a charge that the provider has never heard of is taken to be lost. Much longer than PAYMENT_TIMEOUT. */
  PAYMENT_ABANDON_AFTER: durationMs({ min: 1 }).default(defaultPaymentTimings.abandonAfterMs),
});

const checked = schema.refine(({ PAYMENTS_GRPC, RABBITMQ_URL }) => !PAYMENTS_GRPC || RABBITMQ_URL, {
  path: ['RABBITMQ_URL'],
  message: 'is needed with PAYMENTS_GRPC: orders hear of their payments through it',
});

export type MonolithConfig = {
  host: string;
  port: number;
  logLevel: string;
  serviceName: string;
  serviceId: string;
  databaseUrl: string;
  databasePoolMax: number;
  redisUrl: string | undefined;
  redisPrefix: string;
  consulUrl: string | undefined;
  flags: string | undefined;
  consulToken: string | undefined;
  dataDirectory: string | undefined;
  catalogUrl: string | undefined;
  inventoryGrpc: string | undefined;
  paymentsGrpc: string | undefined;
  rabbitmqUrl: string | undefined;
  paymentNewsQueue: string;
  outboxExchange: string;
  trust: ServiceTrustConfig;
  fenceWaitMs: number;
  autoMigrate: boolean;
  drainGraceMs: number;
  jwtPrivateKey: string | undefined;
  jwtPrivateKeyFile: string | undefined;
  accessTokenTtlMs: number;
  refreshTokenTtlMs: number;
  passwordLogCost: number;
  priceJobAt: string | undefined;
  paymentProviderUrl: string;
  publicUrl: string | undefined;
  paymentWebhookSecret: string;
  paymentTimings: PaymentTimings;
};

/** The environment as a typed configuration; throws a ConfigError that names every bad variable. */
export function monolithConfig(env: NodeJS.ProcessEnv = process.env): MonolithConfig {
  const c = loadConfig('monolith', checked, env);
  return {
    host: c.HOST,
    port: c.PORT,
    logLevel: c.LOG_LEVEL,
    serviceName: c.SERVICE_NAME,
    serviceId: c.SERVICE_ID ?? `monolith-${c.PORT}`,
    databaseUrl: c.DATABASE_URL,
    databasePoolMax: c.DATABASE_POOL_MAX,
    redisUrl: c.REDIS_URL,
    redisPrefix: c.REDIS_PREFIX,
    consulUrl: c.CONSUL_URL,
    flags: c.STRANGLER_FLAGS,
    consulToken: c.CONSUL_HTTP_TOKEN,
    dataDirectory: c.DATA_DIRECTORY,
    catalogUrl: c.CATALOG_URL,
    inventoryGrpc: c.INVENTORY_GRPC,
    paymentsGrpc: c.PAYMENTS_GRPC,
    rabbitmqUrl: c.RABBITMQ_URL,
    paymentNewsQueue: c.PAYMENT_NEWS_QUEUE,
    outboxExchange: c.OUTBOX_EXCHANGE,
    trust: { ...noServiceTrust, ...serviceKeyOf('monolith', c), tls: grpcTlsOf('monolith', c) },
    fenceWaitMs: c.FENCE_WAIT,
    autoMigrate: c.AUTO_MIGRATE,
    drainGraceMs: c.DRAIN_GRACE,
    jwtPrivateKey: c.JWT_PRIVATE_KEY,
    jwtPrivateKeyFile: c.JWT_PRIVATE_KEY_FILE,
    accessTokenTtlMs: c.ACCESS_TOKEN_TTL,
    refreshTokenTtlMs: c.REFRESH_TOKEN_TTL,
    passwordLogCost: c.PASSWORD_LOG_COST,
    priceJobAt: c.PRICE_JOB_AT,
    paymentProviderUrl: c.PAYMENT_PROVIDER_URL,
    publicUrl: c.PUBLIC_URL,
    paymentWebhookSecret: c.PAYMENT_WEBHOOK_SECRET,
    paymentTimings: {
      ...defaultPaymentTimings,
      chargeTimeoutMs: c.PAYMENT_TIMEOUT,
      reconcileEveryMs: c.PAYMENT_RECONCILE_EVERY,
      firstCheckMs: c.PAYMENT_CHECK_AFTER,
      abandonAfterMs: c.PAYMENT_ABANDON_AFTER,
    },
  };
}
