import { durationMs, flag, integer, loadConfig, port, url } from '@strangler/platform/config.ts';
import {
  type ServiceTrustConfig,
  serviceTrustConfig,
  serviceTrustVariables,
} from '@strangler/platform/service-trust/config.ts';
import { z } from 'zod';
import { type JobKind, jobKinds } from './jobs/job.ts';
import type { Retries } from './jobs/job-queues.ts';
import type { SmtpOptions } from './mail/smtp-sender.ts';
import { defaultStreamLimits, type StreamLimits } from './stream/stream-server.ts';

const name = z.string().regex(/^[A-Za-z0-9._-]{1,32}$/, 'must be letters, digits, . _ - (1 to 32)');

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: port().default(3103),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** This instance's name in Consul. */
  SERVICE_ID: z.string().min(1).optional(),
  /** The service's own database, by its own user. */
  DATABASE_URL: url(['mysql']),
  DATABASE_POOL_MAX: integer({ min: 1, max: 500 }).default(20),
  /** Runs pending schema migrations before the first request is taken. */
  AUTO_MIGRATE: flag().default(false),
  /** Without Redis there are no jobs, and streams hear at once only of what their own instance has written. */
  REDIS_URL: url(['redis', 'rediss']).optional(),
  /** Put before every key and channel. */
  REDIS_PREFIX: z.string().default('notifications:'),
  /** Where the shop's events come from. Without it nothing is listened to, and the API shows what there is. */
  RABBITMQ_URL: url(['amqp', 'amqps']).optional(),
  /** The exchange of the outbox. */
  OUTBOX_EXCHANGE: z.string().min(1).max(200).default('outbox'),
  /** The first word of all own exchanges and queues. */
  QUEUE_PREFIX: name.default('notifications'),
  /** Events of a queue that may be in hand. */
  EVENT_PREFETCH: integer({ min: 1, max: 1_000 }).default(20),
  /** Which jobs this instance does, such as `email,digest`; `none` does none. */
  WORKERS: z
    .string()
    .default(jobKinds.join(','))
    .transform((text) => (text === 'none' ? [] : text.split(',')))
    .pipe(z.array(z.enum(jobKinds))),
  /** Jobs of a kind at a time. */
  WORKER_CONCURRENCY: integer({ min: 1, max: 100 }).default(4),
  /** Attempts of a job altogether, before a person has to look. */
  JOB_ATTEMPTS: integer({ min: 1, max: 50 }).default(8),
  /** The wait after the first failed attempt; doubled with each. */
  JOB_BACKOFF: durationMs({ min: 1 }).default(1_000),
  /** The share of a wait by which it may be shorter, at random. */
  JOB_JITTER: z.coerce.number().min(0).max(1).default(0.5),
  /** How long one attempt has a job to itself: longer than a whole conversation with the mail server. */
  JOB_LEASE: durationMs({ min: 100 }).default(120_000),
  /** When a job whose process is dead is given to another. */
  JOB_LOCK: durationMs({ min: 100 }).default(30_000),
  /** Between a notification and its mail: one that is read meanwhile is not mailed. */
  MAIL_DELAY: durationMs().default(0),
  /** When the digests are made, as a cron pattern, in UTC. */
  DIGEST_AT: z.string().min(9).default('0 7 * * *'),
  /** smtp://[user:password@]host:port. Without it mails are not sent, and their jobs wait. */
  SMTP_URL: url(['smtp']).optional(),
  SMTP_TIMEOUT: durationMs({ min: 1 }).default(15_000),
  MAIL_FROM: z.email().default('no-reply@shop.example'),
  /** How often lost jobs are looked for. */
  SWEEP_EVERY: durationMs({ min: 10 }).default(15_000),
  /** How long after its time a job that nobody has touched counts as lost. */
  LOST_AFTER: durationMs({ min: 1 }).default(30_000),
  /** How long it is remembered that an event was handled: longer than any dead letter waits to be replayed. */
  INBOX_KEEP: durationMs({ min: 1 }).default(30 * 86_400_000),
  /** How long done jobs are shown. */
  JOBS_KEEP: durationMs({ min: 1 }).default(30 * 86_400_000),
  /** Streams of this instance. */
  STREAMS_MAX: integer({ min: 1 }).default(defaultStreamLimits.streams),
  STREAM_PING: durationMs({ min: 10 }).default(defaultStreamLimits.pingEveryMs),
  STREAM_SEND_TIMEOUT: durationMs({ min: 1 }).default(defaultStreamLimits.sendTimeoutMs),
  /** Without Consul the process does not register itself. */
  CONSUL_URL: url(['http', 'https']).optional(),
  /** The public keys of whoever signs access tokens. */
  JWKS_URL: url(['http', 'https']).default('http://127.0.0.1:3000/.well-known/jwks.json'),
  /** consul://host:port or file://path. Unset: nobody tells who owns the writes, and no epoch is looked at. */
  STRANGLER_FLAGS: z.string().min(1).optional(),
  CONSUL_HTTP_TOKEN: z.string().min(1).optional(),
  /** The slice whose writes are taken here. */
  SLICE: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be the name of a slice: lower-case letters, digits and hyphens')
    .default('notifications'),
  /** Folder in which the last known flags are kept; unset: a start without the flag store knows none. */
  DATA_DIRECTORY: z.string().min(1).optional(),
  DRAIN_GRACE: durationMs().default(10_000),
  ...serviceTrustVariables,
});

export type NotificationsConfig = {
  host: string;
  port: number;
  logLevel: string;
  serviceId: string | undefined;
  databaseUrl: string;
  databasePoolMax: number;
  autoMigrate: boolean;
  redisUrl: string | undefined;
  redisPrefix: string;
  rabbitmqUrl: string | undefined;
  outboxExchange: string;
  queuePrefix: string;
  eventPrefetch: number;
  workers: JobKind[];
  workerConcurrency: number;
  retries: Retries;
  jobLeaseMs: number;
  jobLockMs: number;
  mailDelayMs: number;
  digestAt: string;
  smtp: SmtpOptions | undefined;
  fromAddress: string;
  sweep: { everyMs: number; lostAfterMs: number; keepInboxMs: number; keepJobsMs: number };
  streams: StreamLimits;
  consulUrl: string | undefined;
  jwksUrl: string;
  flags: string | undefined;
  consulToken: string | undefined;
  slice: string;
  dataDirectory: string | undefined;
  drainGraceMs: number;
  trust: ServiceTrustConfig;
};

/** The environment as a typed configuration; throws a ConfigError that names every bad variable. */
export function notificationsConfig(env: NodeJS.ProcessEnv = process.env): NotificationsConfig {
  const c = loadConfig('notifications', schema, env);
  return {
    host: c.HOST,
    port: c.PORT,
    logLevel: c.LOG_LEVEL,
    serviceId: c.SERVICE_ID,
    databaseUrl: c.DATABASE_URL,
    databasePoolMax: c.DATABASE_POOL_MAX,
    autoMigrate: c.AUTO_MIGRATE,
    redisUrl: c.REDIS_URL,
    redisPrefix: c.REDIS_PREFIX,
    rabbitmqUrl: c.RABBITMQ_URL,
    outboxExchange: c.OUTBOX_EXCHANGE,
    queuePrefix: c.QUEUE_PREFIX,
    eventPrefetch: c.EVENT_PREFETCH,
    workers: c.WORKERS,
    workerConcurrency: c.WORKER_CONCURRENCY,
    retries: { attempts: c.JOB_ATTEMPTS, baseMs: c.JOB_BACKOFF, jitter: c.JOB_JITTER },
    jobLeaseMs: c.JOB_LEASE,
    jobLockMs: c.JOB_LOCK,
    mailDelayMs: c.MAIL_DELAY,
    digestAt: c.DIGEST_AT,
    smtp: c.SMTP_URL === undefined ? undefined : smtpOf(c.SMTP_URL, c.SMTP_TIMEOUT),
    fromAddress: c.MAIL_FROM,
    sweep: {
      everyMs: c.SWEEP_EVERY,
      lostAfterMs: c.LOST_AFTER,
      keepInboxMs: c.INBOX_KEEP,
      keepJobsMs: c.JOBS_KEEP,
    },
    streams: {
      ...defaultStreamLimits,
      streams: c.STREAMS_MAX,
      pingEveryMs: c.STREAM_PING,
      sendTimeoutMs: c.STREAM_SEND_TIMEOUT,
    },
    consulUrl: c.CONSUL_URL,
    jwksUrl: c.JWKS_URL,
    flags: c.STRANGLER_FLAGS,
    consulToken: c.CONSUL_HTTP_TOKEN,
    slice: c.SLICE,
    dataDirectory: c.DATA_DIRECTORY,
    drainGraceMs: c.DRAIN_GRACE,
    trust: serviceTrustConfig('notifications', c),
  };
}

function smtpOf(text: string, timeoutMs: number): SmtpOptions {
  const { hostname, port: given, username, password } = new URL(text);
  return {
    host: hostname,
    port: given === '' ? 25 : Number(given),
    user: username === '' ? undefined : decodeURIComponent(username),
    password: password === '' ? undefined : decodeURIComponent(password),
    timeoutMs,
  };
}
