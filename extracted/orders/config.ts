import { durationMs, flag, integer, loadConfig, port, url } from '@strangler/platform/config.ts';
import { fenceWaitMs } from '@strangler/platform/ownership/within-fence.ts';
import {
  type ServiceTrustConfig,
  serviceTrustConfig,
  serviceTrustVariables,
} from '@strangler/platform/service-trust/config.ts';
import { z } from 'zod';
import { cancellationWays } from './cancellation/way.ts';
import type { AnswerOnceTimings } from './checkout/answer-once.ts';
import type { Timings } from './saga/saga-state.ts';

const queue = () => z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'must be letters, digits, . _ - (1 to 64)');
const grpcAddress = () =>
  z.string().regex(/^(consul|[A-Za-z0-9.-]+:\d{1,5})$/, 'must be host:port, or consul to ask Consul for it');

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: port().default(3105),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** This instance's name in Consul. */
  SERVICE_ID: z.string().min(1).optional(),
  /** The orders' own database, by its own user. */
  DATABASE_URL: url(['mysql']),
  DATABASE_POOL_MAX: integer({ min: 1, max: 500 }).default(20),
  /** Runs pending schema migrations before the first request is taken. */
  AUTO_MIGRATE: flag().default(false),
  /** Without Consul the process does not register itself. */
  CONSUL_URL: url(['http', 'https']).optional(),
  /** Where news of payments and the stream of events come from. Without it payments are asked about, and read models stand still. */
  RABBITMQ_URL: url(['amqp', 'amqps']).optional(),
  /** The exchange that relays publish to. */
  OUTBOX_EXCHANGE: z.string().min(1).max(200).default('outbox'),
  /** From which all instances take that payments are decided. */
  PAYMENTS_QUEUE: queue().default('orders.payments'),
  /** From which all instances take what the others say of cancelled orders. */
  CANCELLATIONS_QUEUE: queue().default('orders.cancellations'),
  /** The shop, or the proxy before it: carts, accounts and sessions. */
  SHOP_URL: url(['http', 'https']).default('http://127.0.0.1:3000'),
  /** The public keys of whoever signs access tokens. */
  JWKS_URL: url(['http', 'https']).default('http://127.0.0.1:3000/.well-known/jwks.json'),
  /** The service's own account at the shop, an administrator's. */
  SERVICE_EMAIL: z.string().min(3),
  SERVICE_PASSWORD: z.string().min(8),
  /** Where the inventory and the payments answer gRPC. */
  INVENTORY_GRPC: grpcAddress().default('127.0.0.1:3202'),
  PAYMENTS_GRPC: grpcAddress().default('127.0.0.1:3204'),
  /**
   * The catalogue service, or `consul` to ask Consul for it: asked once that slice is complete, when nothing is left to copy products from. Unset: they
   * are shown from the copies.
   */
  CATALOG_URL: z.union([z.literal('consul'), url(['http', 'https'])]).optional(),
  /** The catalogue's slice. */
  CATALOG_SLICE: z.string().min(1).max(56).default('catalog'),
  /** How long one call to the inventory may take, and one to the payments: longer than these wait for the provider. */
  INVENTORY_TIMEOUT: durationMs({ min: 10, max: 60_000 }).default(10_000),
  PAYMENTS_TIMEOUT: durationMs({ min: 10, max: 60_000 }).default(20_000),
  /**
   * How long a checkout waits for its saga before it is answered 202, and a cancellation before it is answered all the same. Both are well
   * below the 5 s that proxies wait, when the writes of a slice are to move, for those that are under way: one slow charge would call a
   * cut-over of the orders off.
   */
  CHECKOUT_WAIT: durationMs({ min: 0, max: 60_000 }).default(3_000),
  CANCEL_WAIT: durationMs({ min: 0, max: 60_000 }).default(3_000),
  /**
   * How a cancelled order's stock and money are given back: its saga asks the others for it, or they hear of it and do it unasked, which
   * takes RABBITMQ_URL here and there. One that was begun one way is ended that way.
   */
  CANCELLATION: z.enum(cancellationWays).default('orchestrated'),
  /** How long stock is asked to be held; no longer than the inventory allows. */
  HOLD: durationMs({ min: 10_000, max: 86_400_000 }).default(1_200_000),
  /** A hold with so little left is confirmed, whether or not the payment is decided. */
  HOLD_MARGIN: durationMs({ min: 1_000 }).default(120_000),
  /** Nothing is ordered where stock and cart could not be had by then. */
  ORDER_WITHIN: durationMs({ min: 100 }).default(30_000),
  /** That there is no payment is believed only so long after the charge was first asked for. */
  CHARGE_GRACE: durationMs({ min: 100 }).default(60_000),
  /** An order whose payment is not decided by then is given up. */
  PAY_WITHIN: durationMs({ min: 1_000 }).default(7_200_000),
  /** The first and the longest pause before somebody is asked again. */
  FIRST_PAUSE: durationMs({ min: 1 }).default(200),
  LONGEST_PAUSE: durationMs({ min: 1 }).default(60_000),
  /** How long whoever drives a saga has it alone after its last step; longer than any call takes. */
  SAGA_LEASE: durationMs({ min: 100 }).default(30_000),
  /** How often sagas are looked for whose time has come, and how many are driven at once. */
  SAGA_EVERY: durationMs({ min: 1 }).default(1_000),
  SAGA_CAPACITY: integer({ min: 1, max: 1_000 }).default(16),
  /** How long a card's token is kept in memory, which is the only place where it is. */
  CARD_KEPT: durationMs({ min: 1 }).default(45_000),
  /** How long a request under an Idempotency-Key is taken to be alive; longer than any takes. */
  IDEMPOTENCY_LEASE: durationMs({ min: 1 }).default(30_000),
  IDEMPOTENCY_KEEP: durationMs({ min: 1 }).default(86_400_000),
  /** For tests alone: kills the process, as if the power had gone, when a saga comes to this step, such as `after charge`. */
  KILL_AT: z.string().min(1).optional(),
  /** consul://host:port or file://path. Unset: nobody tells who owns the writes, and no epoch is looked at. */
  STRANGLER_FLAGS: z.string().min(1).optional(),
  CONSUL_HTTP_TOKEN: z.string().min(1).optional(),
  /** The slice whose writes these are. */
  SLICE: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be the name of a slice: lower-case letters, digits and hyphens')
    .default('orders'),
  /** How long a write that meets a closed fence waits for it to open. */
  FENCE_WAIT: durationMs({ min: 1, max: 60_000 }).default(fenceWaitMs),
  /** Folder in which the last known flags are kept; unset: a start without the flag store knows none. */
  DATA_DIRECTORY: z.string().min(1).optional(),
  DRAIN_GRACE: durationMs().default(10_000),
  ...serviceTrustVariables,
});

const checked = schema
  .refine(({ CHARGE_GRACE, PAYMENTS_TIMEOUT, CARD_KEPT }) => CHARGE_GRACE > Math.max(PAYMENTS_TIMEOUT, CARD_KEPT), {
    path: ['CHARGE_GRACE'],
    message: 'must be longer than PAYMENTS_TIMEOUT and CARD_KEPT: a charge may be on its way for as long',
  })
  .refine(
    ({ SAGA_LEASE, PAYMENTS_TIMEOUT, INVENTORY_TIMEOUT }) => SAGA_LEASE > Math.max(PAYMENTS_TIMEOUT, INVENTORY_TIMEOUT),
    {
      path: ['SAGA_LEASE'],
      message: 'must be longer than PAYMENTS_TIMEOUT and INVENTORY_TIMEOUT: nobody may take over from one who is alive',
    },
  )
  .refine(({ HOLD, HOLD_MARGIN, LONGEST_PAUSE }) => HOLD > HOLD_MARGIN && HOLD_MARGIN > LONGEST_PAUSE, {
    path: ['HOLD_MARGIN'],
    message: 'must be shorter than HOLD and longer than LONGEST_PAUSE: a hold is confirmed before it ends',
  })
  .refine(({ CANCELLATION, RABBITMQ_URL }) => CANCELLATION !== 'choreographed' || RABBITMQ_URL !== undefined, {
    path: ['RABBITMQ_URL'],
    message: 'must be set where CANCELLATION is choreographed: nobody hears of a cancellation otherwise',
  })
  .refine(({ IDEMPOTENCY_LEASE, CHECKOUT_WAIT }) => IDEMPOTENCY_LEASE > CHECKOUT_WAIT, {
    path: ['IDEMPOTENCY_LEASE'],
    message: 'must be longer than CHECKOUT_WAIT: nobody may take over from a request that is alive',
  });

export type OrdersConfig = {
  host: string;
  port: number;
  logLevel: string;
  serviceId: string | undefined;
  databaseUrl: string;
  databasePoolMax: number;
  autoMigrate: boolean;
  consulUrl: string | undefined;
  rabbitmqUrl: string | undefined;
  outboxExchange: string;
  paymentsQueue: string;
  cancellationsQueue: string;
  cancellation: (typeof cancellationWays)[number];
  shopUrl: string;
  jwksUrl: string;
  serviceAccount: { email: string; password: string };
  inventory: { address: string; timeoutMs: number };
  payments: { address: string; timeoutMs: number };
  /** `consul`, or its address. */
  catalogUrl: string | undefined;
  catalogSlice: string;
  checkoutWaitMs: number;
  cancelWaitMs: number;
  holdMs: number;
  timings: Timings;
  sagas: { leaseMs: number; everyMs: number; capacity: number; cardKeptMs: number };
  answers: AnswerOnceTimings;
  killAt: string | undefined;
  flags: string | undefined;
  consulToken: string | undefined;
  slice: string;
  fenceWaitMs: number;
  dataDirectory: string | undefined;
  drainGraceMs: number;
  trust: ServiceTrustConfig;
};

/** The environment as a typed configuration; throws a ConfigError that names every bad variable. */
export function ordersConfig(env: NodeJS.ProcessEnv = process.env): OrdersConfig {
  const c = loadConfig('orders', checked, env);
  return {
    host: c.HOST,
    port: c.PORT,
    logLevel: c.LOG_LEVEL,
    serviceId: c.SERVICE_ID,
    databaseUrl: c.DATABASE_URL,
    databasePoolMax: c.DATABASE_POOL_MAX,
    autoMigrate: c.AUTO_MIGRATE,
    consulUrl: c.CONSUL_URL,
    rabbitmqUrl: c.RABBITMQ_URL,
    outboxExchange: c.OUTBOX_EXCHANGE,
    paymentsQueue: c.PAYMENTS_QUEUE,
    cancellationsQueue: c.CANCELLATIONS_QUEUE,
    cancellation: c.CANCELLATION,
    shopUrl: c.SHOP_URL,
    jwksUrl: c.JWKS_URL,
    serviceAccount: { email: c.SERVICE_EMAIL, password: c.SERVICE_PASSWORD },
    inventory: { address: c.INVENTORY_GRPC, timeoutMs: c.INVENTORY_TIMEOUT },
    payments: { address: c.PAYMENTS_GRPC, timeoutMs: c.PAYMENTS_TIMEOUT },
    catalogUrl: c.CATALOG_URL,
    catalogSlice: c.CATALOG_SLICE,
    checkoutWaitMs: c.CHECKOUT_WAIT,
    cancelWaitMs: c.CANCEL_WAIT,
    holdMs: c.HOLD,
    timings: {
      holdMarginMs: c.HOLD_MARGIN,
      orderWithinMs: c.ORDER_WITHIN,
      chargeGraceMs: c.CHARGE_GRACE,
      payWithinMs: c.PAY_WITHIN,
      firstPauseMs: c.FIRST_PAUSE,
      longestPauseMs: c.LONGEST_PAUSE,
    },
    sagas: { leaseMs: c.SAGA_LEASE, everyMs: c.SAGA_EVERY, capacity: c.SAGA_CAPACITY, cardKeptMs: c.CARD_KEPT },
    answers: { leaseMs: c.IDEMPOTENCY_LEASE, keepMs: c.IDEMPOTENCY_KEEP },
    killAt: c.KILL_AT,
    flags: c.STRANGLER_FLAGS,
    consulToken: c.CONSUL_HTTP_TOKEN,
    slice: c.SLICE,
    fenceWaitMs: c.FENCE_WAIT,
    dataDirectory: c.DATA_DIRECTORY,
    drainGraceMs: c.DRAIN_GRACE,
    trust: serviceTrustConfig('orders', c),
  };
}
