import { durationMs, flag, integer, loadConfig, port, url } from '@strangler/platform/config.ts';
import { fenceWaitMs } from '@strangler/platform/ownership/within-fence.ts';
import {
  type ServiceTrustConfig,
  serviceTrustConfig,
  serviceTrustVariables,
} from '@strangler/platform/service-trust/config.ts';
import { z } from 'zod';
import type { V1Ends } from './api/speak.ts';
import type { AnswerOnceTimings } from './idempotency/answer-once.ts';
import type { CheckTimings } from './payment/timings.ts';
import type { ParkTimings } from './webhooks/parked-webhooks.ts';

const secret = z.string().min(16, 'must be at least 16 characters');
const day = z.iso.date('must be a day such as 2026-12-31').transform((text) => new Date(`${text}T00:00:00Z`));

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: port().default(3104),
  GRPC_PORT: port().default(3204),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** This instance's name in Consul. */
  SERVICE_ID: z.string().min(1).optional(),
  /** The payments' own database, by its own user. */
  DATABASE_URL: url(['mysql']),
  DATABASE_POOL_MAX: integer({ min: 1, max: 500 }).default(20),
  /** Runs pending schema migrations before the first request is taken. */
  AUTO_MIGRATE: flag().default(false),
  /** Without Consul the process does not register itself. */
  CONSUL_URL: url(['http', 'https']).optional(),
  /** Where refused webhooks are taken from their queue, and cancelled orders heard of. Without it both stay there for other instances. */
  RABBITMQ_URL: url(['amqp', 'amqps']).optional(),
  OUTBOX_EXCHANGE: z.string().min(1).max(200).default('outbox'),
  /** The queue of refused webhooks; its dead letters are in the one named `.dead` after it. */
  WEBHOOK_QUEUE: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, . _ - (1 to 64)')
    .default('payments.webhooks'),
  /** From which all instances take that orders are cancelled. */
  CANCELLATIONS_QUEUE: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, . _ - (1 to 64)')
    .default('payments.cancellations'),
  /** How long a handled message is remembered; longer than any dead letter waits to be replayed. */
  INBOX_KEEP: durationMs({ min: 1 }).default(30 * 86_400_000),
  /** The public keys of whoever signs access tokens. */
  JWKS_URL: url(['http', 'https']).default('http://127.0.0.1:3000/.well-known/jwks.json'),
  PAYMENT_PROVIDER_URL: url(['http', 'https']).default('http://127.0.0.1:3900'),
  /** Shared with the provider: webhooks are signed with it. */
  PAYMENT_WEBHOOK_SECRET: secret.default('development-webhook-secret'),
  /** The secret before a change of it, or the one after: as long as it is set, both are good. */
  PAYMENT_WEBHOOK_SECRET_OTHER: secret.optional(),
  /** How long one call to the provider may take. */
  PROVIDER_TIMEOUT: durationMs({ min: 10, max: 60_000 }).default(5_000),
  /** Calls to the provider at once for those who wait for an answer. */
  PROVIDER_CAPACITY: integer({ min: 1, max: 1_000 }).default(32),
  /** Calls to the provider at once for what is found out and paid back behind their backs. */
  RECONCILER_CAPACITY: integer({ min: 1, max: 1_000 }).default(4),
  /** How long the provider is not called after it has failed too often. */
  CIRCUIT_RESET: durationMs({ min: 20, max: 600_000 }).default(10_000),
  /** Calls in 10 s below which no share of failures is too many. */
  CIRCUIT_VOLUME: integer({ min: 1, max: 10_000 }).default(10),
  /** How long after its last change an open payment is first asked about, and the first wait between two questions. */
  FIRST_CHECK: durationMs({ min: 1 }).default(15_000),
  /** The longest wait between two questions about one payment. */
  LONGEST_CHECK: durationMs({ min: 1 }).default(3_600_000),
  /** How often payments are looked for whose time has come. */
  RECONCILE_EVERY: durationMs({ min: 1 }).default(5_000),
  /** After this time a charge that the provider has never heard of is taken to have been lost on the way to it. */
  ABANDON_AFTER: durationMs({ min: 1 }).default(900_000),
  /** How long a request under an Idempotency-Key is taken to be alive; longer than any takes. */
  IDEMPOTENCY_LEASE: durationMs({ min: 1 }).default(30_000),
  IDEMPOTENCY_KEEP: durationMs({ min: 1 }).default(86_400_000),
  /** Webhooks about payments that are not here: the first wait, the longest, and when they are given up. */
  PARK_FIRST: durationMs({ min: 1 }).default(1_000),
  PARK_LONGEST: durationMs({ min: 1 }).default(300_000),
  PARK_FOR: durationMs({ min: 1 }).default(86_400_000),
  /** The days on which the first version of the API was deprecated, and on which it ends. */
  V1_DEPRECATED: day.prefault('2026-11-01'),
  V1_SUNSET: day.prefault('2027-11-01'),
  /** consul://host:port or file://path. Unset: nobody tells who owns the writes, and no epoch is looked at. */
  STRANGLER_FLAGS: z.string().min(1).optional(),
  CONSUL_HTTP_TOKEN: z.string().min(1).optional(),
  /** The slice whose writes these are. */
  SLICE: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be the name of a slice: lower-case letters, digits and hyphens')
    .default('payments'),
  /** The slice whose owner tells customers of their payments; events say who that is. */
  TELLING_SLICE: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be the name of a slice: lower-case letters, digits and hyphens')
    .default('notifications'),
  /** How long a write that meets a closed fence waits for it to open. */
  FENCE_WAIT: durationMs({ min: 1, max: 60_000 }).default(fenceWaitMs),
  /** Folder in which the last known flags are kept; unset: a start without the flag store knows none. */
  DATA_DIRECTORY: z.string().min(1).optional(),
  DRAIN_GRACE: durationMs().default(10_000),
  ...serviceTrustVariables,
});

const checked = schema
  .refine(({ CIRCUIT_RESET, PROVIDER_TIMEOUT }) => CIRCUIT_RESET > PROVIDER_TIMEOUT, {
    path: ['CIRCUIT_RESET'],
    message: 'must be longer than PROVIDER_TIMEOUT: a call of before the circuit opened must not be heard after',
  })
  .refine(({ IDEMPOTENCY_LEASE, PROVIDER_TIMEOUT }) => IDEMPOTENCY_LEASE > 3 * PROVIDER_TIMEOUT, {
    path: ['IDEMPOTENCY_LEASE'],
    message: 'must be longer than three times PROVIDER_TIMEOUT: nobody may take over from a run that is alive',
  });

export type PaymentsConfig = {
  host: string;
  port: number;
  grpcPort: number;
  logLevel: string;
  serviceId: string | undefined;
  databaseUrl: string;
  databasePoolMax: number;
  autoMigrate: boolean;
  consulUrl: string | undefined;
  rabbitmqUrl: string | undefined;
  outboxExchange: string;
  webhookQueue: string;
  cancellationsQueue: string;
  inboxKeepMs: number;
  jwksUrl: string;
  provider: {
    url: string;
    timeoutMs: number;
    capacity: number;
    reconcilerCapacity: number;
    circuit: { resetMs: number; volume: number };
  };
  webhookSecrets: readonly string[];
  checks: CheckTimings;
  reconcileEveryMs: number;
  answers: AnswerOnceTimings;
  parking: ParkTimings;
  v1Ends: V1Ends;
  flags: string | undefined;
  consulToken: string | undefined;
  slice: string;
  tellingSlice: string;
  fenceWaitMs: number;
  dataDirectory: string | undefined;
  drainGraceMs: number;
  trust: ServiceTrustConfig;
};

/** The environment as a typed configuration; throws a ConfigError that names every bad variable. */
export function paymentsConfig(env: NodeJS.ProcessEnv = process.env): PaymentsConfig {
  const c = loadConfig('payments', checked, env);
  const other = c.PAYMENT_WEBHOOK_SECRET_OTHER;
  return {
    host: c.HOST,
    port: c.PORT,
    grpcPort: c.GRPC_PORT,
    logLevel: c.LOG_LEVEL,
    serviceId: c.SERVICE_ID,
    databaseUrl: c.DATABASE_URL,
    databasePoolMax: c.DATABASE_POOL_MAX,
    autoMigrate: c.AUTO_MIGRATE,
    consulUrl: c.CONSUL_URL,
    rabbitmqUrl: c.RABBITMQ_URL,
    outboxExchange: c.OUTBOX_EXCHANGE,
    webhookQueue: c.WEBHOOK_QUEUE,
    cancellationsQueue: c.CANCELLATIONS_QUEUE,
    inboxKeepMs: c.INBOX_KEEP,
    jwksUrl: c.JWKS_URL,
    provider: {
      url: c.PAYMENT_PROVIDER_URL,
      timeoutMs: c.PROVIDER_TIMEOUT,
      capacity: c.PROVIDER_CAPACITY,
      reconcilerCapacity: c.RECONCILER_CAPACITY,
      circuit: { resetMs: c.CIRCUIT_RESET, volume: c.CIRCUIT_VOLUME },
    },
    webhookSecrets: [c.PAYMENT_WEBHOOK_SECRET, ...(other === undefined ? [] : [other])],
    checks: {
      firstCheckMs: c.FIRST_CHECK,
      longestCheckMs: c.LONGEST_CHECK,
      // A look at a payment makes three calls at most before it writes something down.
      leaseMs: 3 * c.PROVIDER_TIMEOUT,
      abandonAfterMs: c.ABANDON_AFTER,
    },
    reconcileEveryMs: c.RECONCILE_EVERY,
    answers: { leaseMs: c.IDEMPOTENCY_LEASE, keepMs: c.IDEMPOTENCY_KEEP },
    parking: { parkFirstMs: c.PARK_FIRST, parkLongestMs: c.PARK_LONGEST, parkForMs: c.PARK_FOR },
    v1Ends: { deprecatedAt: c.V1_DEPRECATED, sunsetAt: c.V1_SUNSET },
    flags: c.STRANGLER_FLAGS,
    consulToken: c.CONSUL_HTTP_TOKEN,
    slice: c.SLICE,
    tellingSlice: c.TELLING_SLICE,
    fenceWaitMs: c.FENCE_WAIT,
    dataDirectory: c.DATA_DIRECTORY,
    drainGraceMs: c.DRAIN_GRACE,
    trust: serviceTrustConfig('payments', c),
  };
}
