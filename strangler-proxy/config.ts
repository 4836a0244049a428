import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { bytes, ConfigError, durationMs, integer, list, loadConfig, port, url } from '@strangler/platform/config.ts';
import { noServiceTrust, serviceKeyOf, serviceKeyVariables } from '@strangler/platform/service-trust/config.ts';
import { z } from 'zod';
import { allowNetworks, privateNetworks } from './discovery/allowed-networks.ts';
import { parseStaticInstances } from './discovery/static-discovery.ts';

/** A text that `read` can make something of; what it throws is the fault that is told. */
const readBy = (read: (text: string) => unknown) =>
  z.string().superRefine((text, context) => {
    try {
      read(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: (error as Error).message });
    }
  });

const origins = list().refine((all) => all.length > 0 && all.every(isOrigin), {
  message: 'must be one or more origins such as http://127.0.0.1:3000, separated by commas',
});

const isOrigin = (text: string): boolean => {
  if (!URL.canParse(text) || !/^https?:\/\//.test(text)) return false;
  const { pathname, search, username } = new URL(text);
  return pathname === '/' && search === '' && username === '';
};

/** Every variable of the environment, with what it may be and its default. docs/reference/proxy.md says what each is for. */
export const environment = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: port().default(8080),
  ADMIN_HOST: z.string().default('127.0.0.1'),
  ADMIN_PORT: port().default(8081),
  ADMIN_TOKENS_FILE: z.string().optional(),
  ADMIN_SESSION: durationMs({ min: 1_000, max: 86_400_000 }).default(3_600_000),
  TLS_CERT_FILE: z.string().optional(),
  TLS_KEY_FILE: z.string().optional(),
  HTTP2: z.enum(['on', 'off']).default('on'),
  HTTP2_STREAMS: integer({ min: 1, max: 1_000 }).default(100),
  HTTP2_RESETS: integer({ min: 1, max: 100_000 }).default(200),
  WORKERS: integer({ min: 1, max: 64 }).default(1),
  MONOLITH_URL: origins,
  STRANGLER_SLICES: z.string().optional(),
  STRANGLER_FLAGS: z.string().optional(),
  GATEWAY_FILE: z.string().optional(),
  RABBITMQ_URL: url(['amqp', 'amqps']).optional(),
  OUTBOX_EXCHANGE: z.string().min(1).max(200).default('outbox'),
  CACHE_TIMEOUT: durationMs({ min: 1, max: 10_000 }).default(50),
  CACHE_QUEUE: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,200}$/, 'must be letters, digits, `.`, `_` and `-`')
    .default('strangler-proxy.cache'),
  SERVICES: readBy(parseStaticInstances).optional(),
  CONSUL_URL: z.url().optional(),
  CONSUL_HTTP_TOKEN: z.string().optional(),
  SERVICE_ID: z.string().optional(),
  DATA_DIRECTORY: z.string().optional(),
  OPERATOR_TOKEN: z.string().min(16, 'must have at least 16 characters').optional(),
  TRUSTED_PEERS: list().default([]),
  ALLOWED_NETWORKS: list().default([...privateNetworks]),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  ACCESS_LOG: z.enum(['all', 'failures', 'none']).default('failures'),
  DRAIN_GRACE: durationMs().default(10_000),
  CONNECT_TIMEOUT: durationMs({ min: 1 }).default(3_000),
  ANSWER_TIMEOUT: durationMs({ min: 1 }).default(60_000),
  FALLBACK_TIMEOUT: durationMs({ min: 1 }).default(3_000),
  IDLE_TIMEOUT: durationMs({ min: 1 }).default(60_000),
  CLIENT_IDLE_TIMEOUT: durationMs({ min: 1 }).default(60_000),
  HEADERS_TIMEOUT: durationMs({ min: 1 }).default(10_000),
  REQUEST_TIMEOUT: durationMs({ min: 0 }).default(3_600_000),
  KEEP_ALIVE_TIMEOUT: durationMs({ min: 1 }).default(65_000),
  MIN_BODY_RATE: bytes({ min: 0 }).default(240),
  BODY_RATE_WINDOW: durationMs({ min: 1_000 }).default(10_000),
  MAX_BODY: bytes({ min: 0 }).default(2 * 1024 ** 3),
  MAX_HEADER: bytes({ min: 1024 }).default(16 * 1024),
  MAX_IN_FLIGHT: integer({ min: 1 }).default(4096),
  UPSTREAM_CONNECTIONS: integer({ min: 1 }).default(512),
  UPSTREAM_CONCURRENCY: integer({ min: 1 }).default(1000),
  MONOLITH_CONCURRENCY: integer({ min: 1 }).default(2000),
  HANDSHAKE_TIMEOUT: durationMs({ min: 1 }).default(10_000),
  MAX_WEBSOCKETS: integer({ min: 1 }).default(4096),
  MAX_CONNECTIONS: integer({ min: 1 }).default(8192),
  HOLD_MAX: integer({ min: 1 }).default(1024),
  HOLD_TIMEOUT: durationMs({ min: 1 }).default(30_000),
  HOLD_RELEASE_CONCURRENCY: integer({ min: 1 }).default(64),
  READ_YOUR_WRITES: durationMs({ max: 3_600_000 }).default(5_000),
  CUT_OFF_WRITES: z.enum(['hold', 'send']).default('hold'),
  REDIS_URL: z
    .string()
    .regex(/^rediss?:\/\//, 'must be an address such as redis://127.0.0.1:6379')
    .optional(),
  SHADOW_CONCURRENCY: integer({ min: 1, max: 1_000 }).default(16),
  SHADOW_QUEUE: integer({ min: 1, max: 100_000 }).default(256),
  SHADOW_RECHECKS: integer({ min: 1, max: 10_000 }).default(8),
  SHADOW_TIMEOUT: durationMs({ min: 1 }).default(3_000),
  SHADOW_MAX_REQUEST: bytes({ min: 0 }).default(64 * 1024),
  SHADOW_MAX_ANSWER: bytes({ min: 0 }).default(256 * 1024),
  SHADOW_MEMORY: bytes({ min: 0 }).default(32 * 1024 ** 2),
  SHADOW_BUSY: integer({ min: 1, max: 100 }).default(75),
  ...serviceKeyVariables,
});

/** What the proxy is told by its environment, with the command line's word above it. */
export type ProxyConfig = ReturnType<typeof readConfig>;

/** Each option of the command line and the variable it stands for. */
export const options = {
  monolith: 'MONOLITH_URL',
  slices: 'STRANGLER_SLICES',
  flags: 'STRANGLER_FLAGS',
  gateway: 'GATEWAY_FILE',
  services: 'SERVICES',
  host: 'HOST',
  port: 'PORT',
  'admin-host': 'ADMIN_HOST',
  'admin-port': 'ADMIN_PORT',
  workers: 'WORKERS',
  consul: 'CONSUL_URL',
  data: 'DATA_DIRECTORY',
  id: 'SERVICE_ID',
} as const;

export const usage = `Usage: npm run proxy -- --monolith http://127.0.0.1:3000 [options]

Stands in front of any HTTP server. Without slices a client cannot tell it from the server behind it.

  --monolith <origin[,origin]>  the server in front of which it stands ($MONOLITH_URL)
  --slices <folder>             folder of <slice>/slice.yaml ($STRANGLER_SLICES)
  --flags <address>             consul://host:port or file://flags.json ($STRANGLER_FLAGS)
  --gateway <file>              policies by route: tokens, limits, headers ($GATEWAY_FILE)
  --services <list>             "catalog=http://127.0.0.1:3101,http://127.0.0.1:3102; …", where there is no Consul ($SERVICES)
  --consul <url>                Consul's agent, for services and for this proxy's own registration ($CONSUL_URL)
  --port <port>                 8080 unless told; 0 takes a free one ($PORT)
  --host <address>              127.0.0.1 unless told ($HOST)
  --admin-port <port>           dashboard, metrics, health and status; 8081 unless told ($ADMIN_PORT)
  --admin-host <address>        127.0.0.1 unless told ($ADMIN_HOST)
  --workers <count>             processes that share the port; 1 unless told ($WORKERS)
  --data <folder>               last known flags and instances, for starts without Consul ($DATA_DIRECTORY)
  --id <name>                   this proxy's name in Consul ($SERVICE_ID)
  --help                        this

Everything else (time-outs, limits, trusted peers, operators' token) is in the environment: docs/reference/proxy.md.`;

/** A command line that cannot be read; the message is one line. */
export class CommandLineError extends Error {
  override name = 'CommandLineError';
}

/**
 * Puts the command line's words over the environment; `help` where they ask for it.
 * @throws CommandLineError for an option that does not exist or lacks its value.
 */
export const environmentWithArguments = (
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): { kind: 'help' } | { kind: 'environment'; env: NodeJS.ProcessEnv } => {
  try {
    const { values } = parseArgs({
      args: [...words],
      options: {
        help: { type: 'boolean', short: 'h' },
        ...Object.fromEntries(Object.keys(options).map((name) => [name, { type: 'string' as const }])),
      },
    });
    if (values.help) return { kind: 'help' };
    const over: NodeJS.ProcessEnv = { ...env };
    for (const [name, variable] of Object.entries(options)) {
      const value = (values as Record<string, string | boolean | undefined>)[name];
      if (typeof value === 'string') over[variable] = value;
    }
    return { kind: 'environment', env: over };
  } catch (error) {
    throw new CommandLineError((error as Error).message.split('\n')[0]);
  }
};

/** @throws ConfigError naming every variable that is wrong. */
export const readConfig = (env: NodeJS.ProcessEnv) => {
  const told = loadConfig('strangler-proxy', environment, env);
  const consulUrl = told.CONSUL_URL ?? consulOf(told.STRANGLER_FLAGS);
  return {
    // Two proxies on one host must not take each other's place in Consul.
    id: told.SERVICE_ID ?? `strangler-proxy-${hostname()}-${told.PORT === 0 ? process.pid : told.PORT}`,
    host: told.HOST,
    port: told.PORT,
    adminHost: told.ADMIN_HOST,
    adminPort: told.ADMIN_PORT,
    adminTokensFile: told.ADMIN_TOKENS_FILE ?? null,
    adminSessionMs: told.ADMIN_SESSION,
    tls: tlsOf(told.TLS_CERT_FILE, told.TLS_KEY_FILE),
    /** Null: HTTP/1.1 alone. Without TLS there is nobody to agree on HTTP/2 with. */
    http2:
      told.HTTP2 === 'off'
        ? null
        : {
            maxStreams: told.HTTP2_STREAMS,
            maxResets: told.HTTP2_RESETS,
            stalledAnswerMs: told.CLIENT_IDLE_TIMEOUT,
          },
    workers: told.WORKERS,
    monolithOrigins: told.MONOLITH_URL.map((origin) => new URL(origin).origin),
    gatewayFile: told.GATEWAY_FILE ?? null,
    slicesDirectory: told.STRANGLER_SLICES ?? null,
    flagStore: told.STRANGLER_FLAGS ?? consulUrl?.replace(/^http/, 'consul') ?? null,
    staticInstances: told.SERVICES === undefined ? null : parseStaticInstances(told.SERVICES),
    consulUrl: consulUrl ?? null,
    consulToken: told.CONSUL_HTTP_TOKEN ?? null,
    dataDirectory: told.DATA_DIRECTORY ?? null,
    operatorToken: told.OPERATOR_TOKEN ?? null,
    trustedPeers: told.TRUSTED_PEERS,
    allowedNetworks: allowNetworks(told.ALLOWED_NETWORKS),
    logLevel: told.LOG_LEVEL,
    accessLog: told.ACCESS_LOG,
    drainGraceMs: told.DRAIN_GRACE,
    timeouts: {
      connectTimeoutMs: told.CONNECT_TIMEOUT,
      answerTimeoutMs: told.ANSWER_TIMEOUT,
      fallbackTimeoutMs: told.FALLBACK_TIMEOUT,
      bodyIdleTimeoutMs: told.IDLE_TIMEOUT,
      clientIdleTimeoutMs: told.CLIENT_IDLE_TIMEOUT,
      headersTimeoutMs: told.HEADERS_TIMEOUT,
      requestTimeoutMs: told.REQUEST_TIMEOUT,
      keepAliveTimeoutMs: told.KEEP_ALIVE_TIMEOUT,
    },
    bodyRate: { bytesPerSecond: told.MIN_BODY_RATE, windowMs: told.BODY_RATE_WINDOW },
    limits: {
      maxBodyBytes: told.MAX_BODY,
      maxHeaderBytes: told.MAX_HEADER,
      maxRequestsInFlight: told.MAX_IN_FLIGHT,
      maxConnections: told.MAX_CONNECTIONS,
    },
    upgrades: { handshakeTimeoutMs: told.HANDSHAKE_TIMEOUT, maxTunnels: told.MAX_WEBSOCKETS },
    hold: {
      maxWaiting: told.HOLD_MAX,
      maxWaitMs: told.HOLD_TIMEOUT,
      releaseConcurrency: told.HOLD_RELEASE_CONCURRENCY,
    },
    /** How long a user reads from the side that took their write; 0: not at all. */
    readYourWritesMs: told.READ_YOUR_WRITES,
    whenCutOff: told.CUT_OFF_WRITES,
    redisUrl: told.REDIS_URL ?? null,
    /** How long a request waits for what may be in the cache. */
    cacheTimeoutMs: told.CACHE_TIMEOUT,
    /** From whom the response cache hears of changes; null: from nobody. */
    cacheChanges:
      told.RABBITMQ_URL === undefined
        ? null
        : { rabbitmqUrl: told.RABBITMQ_URL, exchange: told.OUTBOX_EXCHANGE, queue: told.CACHE_QUEUE },
    /** By which services know that a dry run comes from a proxy. */
    trust: { ...noServiceTrust, ...serviceKeyOf('strangler-proxy', told) },
    /** Comparing answers beside live requests: what it may take, in one worker. */
    shadow: {
      bounds: {
        maxRequestBytes: told.SHADOW_MAX_REQUEST,
        maxAnswerBytes: told.SHADOW_MAX_ANSWER,
        maxOpen: 4 * told.SHADOW_QUEUE,
        maxWaiting: told.SHADOW_QUEUE,
        maxWaitMs: told.SHADOW_TIMEOUT,
        concurrency: told.SHADOW_CONCURRENCY,
        maxRechecks: told.SHADOW_RECHECKS,
      },
      timeoutMs: told.SHADOW_TIMEOUT,
      memoryBytes: told.SHADOW_MEMORY,
      /** Share of the time, 0 to 1. */
      maxBusy: told.SHADOW_BUSY / 100,
    },
    upstream: {
      /** Connections to one origin. */
      maxSockets: told.UPSTREAM_CONNECTIONS,
      /** Requests under way at one service, and at the monolith. */
      serviceConcurrency: told.UPSTREAM_CONCURRENCY,
      monolithConcurrency: told.MONOLITH_CONCURRENCY,
    },
  };
};

/** @throws ConfigError where one of the two is told without the other. */
const tlsOf = (certFile: string | undefined, keyFile: string | undefined) => {
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile };
  if (certFile === undefined && keyFile === undefined) return null;
  const [variable, other] =
    keyFile === undefined ? ['TLS_KEY_FILE', 'TLS_CERT_FILE'] : ['TLS_CERT_FILE', 'TLS_KEY_FILE'];
  throw new ConfigError('strangler-proxy', [{ variable, message: `is required beside ${other}` }]);
};

/** Flags in Consul name the Consul in which the services are, unless another one is told. */
const consulOf = (flagStore: string | undefined): string | undefined =>
  /^consuls?:\/\/[^/]+/.exec(flagStore ?? '')?.[0].replace(/^consul/, 'http');
