import { hostname } from 'node:os';
import { durationMs, loadConfig, port, url } from '@strangler/platform/config.ts';
import { z } from 'zod';
import { defaultExchange } from '../engine/pipe/apply-consumer.ts';

const schema = z.object({
  HOST: z.string().default('127.0.0.1'),
  /** Of health checks and metrics. */
  PORT: port().default(3960),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** Names this applier among those of the slice, in logs. */
  SERVICE_ID: z.string().min(1).max(100).optional(),
  /** The slice whose changes are applied. */
  SLICE: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'must be the name of a slice: lower-case letters, digits and hyphens'),
  /** The folder with a folder a slice. */
  STRANGLER_SLICES: z.string().min(1),
  /** The monolith's database: its tables are looked at for the mapping. */
  STRANGLER_SOURCE: url(['mysql']),
  /** The service's database. */
  STRANGLER_TARGET: url(['mysql']),
  /** consul://host:port or file://path */
  STRANGLER_FLAGS: z.string().min(1),
  CONSUL_HTTP_TOKEN: z.string().min(1).optional(),
  RABBITMQ_URL: url(['amqp', 'amqps']),
  OUTBOX_EXCHANGE: z.string().min(1).max(255).default(defaultExchange),
  /** Folder in which the last known flags are kept; unset: without the flag store a start waits for it. */
  DATA_DIRECTORY: z.string().min(1).optional(),
  DRAIN_GRACE: durationMs().default(10_000),
});

export type ApplierConfig = {
  host: string;
  port: number;
  logLevel: string;
  serviceId: string;
  slice: string;
  slicesFolder: string;
  sourceUrl: string;
  targetUrl: string;
  flags: string;
  consulToken: string | undefined;
  rabbitmqUrl: string;
  exchange: string;
  dataDirectory: string | undefined;
  drainGraceMs: number;
};

/** The environment as a typed configuration; throws a ConfigError that names every bad variable. */
export function applierConfig(env: NodeJS.ProcessEnv = process.env): ApplierConfig {
  const c = loadConfig('applier', schema, env);
  return {
    host: c.HOST,
    port: c.PORT,
    logLevel: c.LOG_LEVEL,
    serviceId: c.SERVICE_ID ?? `${hostname()}-${process.pid}`,
    slice: c.SLICE,
    slicesFolder: c.STRANGLER_SLICES,
    sourceUrl: c.STRANGLER_SOURCE,
    targetUrl: c.STRANGLER_TARGET,
    flags: c.STRANGLER_FLAGS,
    consulToken: c.CONSUL_HTTP_TOKEN,
    rabbitmqUrl: c.RABBITMQ_URL,
    exchange: c.OUTBOX_EXCHANGE,
    dataDirectory: c.DATA_DIRECTORY,
    drainGraceMs: c.DRAIN_GRACE,
  };
}
