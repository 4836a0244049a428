import { join } from 'node:path';
import { pause } from '@strangler/platform/backoff.ts';
import { type ConsulClient, createConsul } from '@strangler/platform/consul/client.ts';
import type { WorkerStatus } from '@strangler/platform/contracts/proxy-status.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import { type FlagFollower, followFlags } from '@strangler/platform/flags/flag-follower.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { createMetrics } from '@strangler/platform/http/metrics.ts';
import { startHttpServer } from '@strangler/platform/http/server.ts';
import { createLifecycle, type Lifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import { createRedis, type Redis } from '@strangler/platform/redis.ts';
import { openServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import promClient, { type Registry } from 'prom-client';
import { createAccept } from '../accept/accept.ts';
import { trustPeers } from '../accept/client-identity.ts';
import { defaultLimits } from '../accept/limits.ts';
import { operatorTokens } from '../accept/operator.ts';
import { createAccessLog } from '../account/access-log.ts';
import type { Account } from '../account/account.ts';
import { createFlagAccount, exposeFlags } from '../account/flag-metrics.ts';
import { createGatewayMetrics, type GatewayMetrics } from '../account/gateway-metrics.ts';
import { createHoldMetrics, exposeHolds } from '../account/hold-metrics.ts';
import { createOwnWriteMetrics } from '../account/own-write-metrics.ts';
import { createRequestMetrics } from '../account/request-metrics.ts';
import { createTraceAccount } from '../account/trace-account.ts';
import { createTrafficCount } from '../account/traffic-count.ts';
import { createUpstreamAccount, exposeUpstreams } from '../account/upstream-metrics.ts';
import { createReadCounter, type ReadCounter } from '../canary/count-reads.ts';
import { lookEveryMs } from '../canary/judge.ts';
import type { ProxyConfig } from '../config.ts';
import { createDecide } from '../decide/decide.ts';
import { createOwnWrites, type OwnWrites } from '../decide/own-writes.ts';
import { consulDiscovery } from '../discovery/consul-discovery.ts';
import type { Discovery } from '../discovery/discovery.ts';
import { type LastKnown, openLastKnown } from '../discovery/last-known.ts';
import { shareDiscovery } from '../discovery/share-discovery.ts';
import { staticDiscovery } from '../discovery/static-discovery.ts';
import type { AfterWrite } from '../forward/disclosed-headers.ts';
import { createForward } from '../forward/forward.ts';
import { createSign, signRequests } from '../forward/sign-requests.ts';
import { traceAttempts } from '../forward/trace-attempts.ts';
import { openCache, type RunningCache } from '../gateway/cache/open-cache.ts';
import { openGateway, type RunningGateway } from '../gateway/gateway.ts';
import { createWriteGate, type WriteGate } from '../hold/write-gate.ts';
import { createRequestHandler } from '../request-handler.ts';
import { buildRouteTable, type RouteTable } from '../routes/route-table.ts';
import { keepHeaders } from '../shadow/service-headers.ts';
import {
  followServerCertificate,
  type ServerCertificate,
  type ServerCertificateFiles,
} from '../tls/server-certificate.ts';
import { createUpgradeHandler, defaultUpgradeLimits } from '../upgrade/upgrade-handler.ts';
import { monolithPolicy, servicePolicy } from '../upstream/policy.ts';
import { createUpstreams } from '../upstream/upstreams.ts';
import { isToWorker, sharedNowMs, tellPrimary } from './messages.ts';
import { startShadowing } from './shadowing.ts';

/** Runs one of the processes that answer on the proxy's port. */
export const runWorker = async (config: ProxyConfig, log: Log, number: number): Promise<void> => {
  const startedAtMs = performance.timeOrigin;
  const lifecycle = createLifecycle({ log, graceMs: config.drainGraceMs });
  const registry = createMetrics({ service: 'strangler-proxy' });
  promClient.AggregatorRegistry.setRegistries(registry);
  new promClient.AggregatorRegistry();

  const routes = buildRouteTable(
    config.slicesDirectory === null ? [] : await readSliceDirectory(config.slicesDirectory),
  );
  const gate = createWriteGate({
    bounds: config.hold,
    whenCutOff: config.whenCutOff,
    flagOf: (slice) => flags?.follower.flagOf(slice),
    account: createHoldMetrics(registry),
    onQuiet: (slice, hold) => tellPrimary({ kind: 'hold', slice, hold }),
  });
  exposeHolds(registry, gate);
  const flags = startFlags(config, routes, registry, log, lifecycle, number, (slice) => gate.flagChanged(slice));
  const { upstreams, discovery } = startUpstreams(config, registry, log, lifecycle);
  upstreams.follow(routes.slices.map((slice) => slice.service));
  exposeUpstreams(registry, upstreams.status, discovery.status);

  const limits = { ...defaultLimits, ...config.limits };
  const { forward: sendOn, close: closeForward } = createForward({
    times: config.timeouts,
    agent: { maxSockets: config.upstream.maxSockets },
    maxBodyBytes: limits.maxBodyBytes,
    bodyRate: config.bodyRate,
  });
  lifecycle.onStop('close', 'forwarding agents', closeForward);

  const flagOf = (slice: string) => flags?.follower.flagOf(slice);
  const ownWrites = rememberOwnWrites(config, registry);
  const reads = createReadCounter(
    routes.slices.map(({ slice }) => slice),
    flagOf,
  );
  tellReads(reads, lifecycle);
  const trust = await openServiceTrust({ self: 'proxy', config: config.trust, metrics: registry, log, lifecycle });
  const shown = keepHeaders({
    services: routes.slices.map(({ service }) => service),
    trust,
    lifeMs: config.trust.tokenLifeMs,
    log,
  });
  lifecycle.onStop('close', 'tokens for services', shown.stop);
  const sign = createSign(shown.headersFor);
  const forward = signRequests(sendOn, sign);
  const { shadow, status: shadowStatus } = startShadowing({
    ...{
      headersFor: shown.headersFor,
      config,
      slices: routes.slices,
      flagOf,
      discovery,
      reads,
      number,
      registry,
      log,
      lifecycle,
    },
  });
  const traffic = createTrafficCount(routes.slices.map(({ slice }) => slice));
  const traces = createTraceAccount();
  const gatewayMetrics = createGatewayMetrics(registry);
  const { gateway, afterWrite } = await startGateway({
    ...{ config, routes, metrics: gatewayMetrics, registry, log, lifecycle, number },
  });
  const certificate = config.tls && (await startCertificate(config.tls, gatewayMetrics, log, lifecycle));
  const way = {
    gateway,
    accept: createAccept({
      limits,
      trusts: trustPeers(config.trustedPeers),
      isOperatorToken: operatorTokens(config.operatorToken),
    }),
    decide: createDecide({
      routes,
      flagOf,
      newStickyId: () => crypto.randomUUID(),
      secureCookie: config.tls !== null,
      ownWrites,
    }),
    upstreams,
    account: tellAll([
      ...[createRequestMetrics(registry), createAccessLog(log, config.accessLog), reads, traffic],
      ...(traces === null ? [] : [traces]),
    ]),
  };
  const handler = createRequestHandler({
    ...{ ...way, forward: traceAttempts(forward), gate, ownWrites, afterWrite, shadow, limits },
    clientIdleTimeoutMs: config.timeouts.clientIdleTimeoutMs,
  });
  const upgrades = createUpgradeHandler({ ...way, sign, limits: { ...defaultUpgradeLimits, ...config.upgrades } });

  const status = (): WorkerStatus => ({
    worker: number,
    pid: process.pid,
    flagSource: flags?.follower.source() ?? 'nowhere',
    flags: [...(flags?.follower.inForce() ?? [])].map(([slice, { document }]) => ({
      slice,
      changeId: document.change.id,
      inForceAtMs: flags?.inForceAtMs.get(slice) ?? startedAtMs,
    })),
    upstreams: upstreams.status(),
    inFlight: handler.inFlight() + upgrades.open(),
    writes: gate.status(),
    shadow: shadowStatus(),
    traffic: traffic.counts(),
  });
  obeyPrimary(lifecycle, log, status, () => {
    void gateway?.reload();
    void certificate?.reload();
  });
  // Without flags a worker would guess who owns what; it takes no traffic until it knows.
  if (flags !== null) await knowFlags(flags.follower, gate, log);
  await shown.ready;
  const server = await startHttpServer({
    handler: handler.handle,
    ...(certificate === null ? {} : { tls: certificate.now() }),
    ...(config.http2 === null ? {} : { http2: config.http2 }),
    onCheckContinue: handler.handleExpectingContinue,
    onUpgrade: upgrades.upgrade,
    host: config.host,
    port: config.port,
    log,
    limits: {
      maxHeaderBytes: limits.maxHeaderBytes,
      headersTimeoutMs: config.timeouts.headersTimeoutMs,
      requestTimeoutMs: config.timeouts.requestTimeoutMs,
      keepAliveTimeoutMs: config.timeouts.keepAliveTimeoutMs,
      maxConnections: config.limits.maxConnections,
      maxRequestsInFlight: Number.POSITIVE_INFINITY,
    },
    metrics: registry,
    name: 'proxy',
  });
  certificate?.onChange(server.replaceCertificate);
  lifecycle.onStop('drain', 'requests in flight', ({ graceMs }) => {
    upgrades.endAll(graceMs / 2);
    gate.stop(graceMs / 2);
    // A request that is on its way on an idle connection is still answered; a reset would leave a write's fate unknown.
    return server.drain(graceMs, { idleMs: Math.min(500, graceMs / 2) });
  });

  tellPrimary({ kind: 'listening', port: server.port });
};

type Flags = {
  follower: FlagFollower;
  /** When this process began to obey a slice's document, in milliseconds since the epoch with fractions. */
  inForceAtMs: ReadonlyMap<string, number>;
};

const startFlags = (
  config: ProxyConfig,
  routes: RouteTable,
  registry: Registry,
  log: Log,
  lifecycle: Lifecycle,
  number: number,
  onChanged: (slice: string) => void,
): Flags | null => {
  if (config.flagStore === null || routes.slices.length === 0) return null;
  const { store, close } = openFlagStore(config.flagStore, {
    log,
    ...(config.consulToken === null ? {} : { token: config.consulToken }),
  });
  const stopping = new AbortController();
  const account = createFlagAccount(registry);
  const inForceAtMs = new Map<string, number>();
  const follower = followFlags({
    store,
    log,
    signal: stopping.signal,
    directory: config.dataDirectory,
    // All workers share the folder; one of them keeps it.
    persist: number === 1,
    onEvent: (event) => {
      account.onEvent(event);
      if (event.kind !== 'changed') return;
      inForceAtMs.set(event.slice, performance.timeOrigin + performance.now());
      onChanged(event.slice);
    },
    onReachable: account.onReachable,
  });
  exposeFlags(registry, follower);
  lifecycle.onStop('close', 'flags', async () => {
    stopping.abort();
    await follower.persisted();
    close();
  });
  return { follower, inForceAtMs };
};

const floorWithinMs = 5_000;

/**
 * Waits until this worker obeys flags at least as new as those that other workers of this proxy have acknowledged. Where the
 * store does not tell it of them in time it goes on: the gate then keeps the writes of those slices back.
 */
const knowFlags = async (follower: FlagFollower, gate: WriteGate, log: Log): Promise<void> => {
  const told = Promise.withResolvers<void>();
  let floor: ReadonlyMap<string, number> = new Map();
  process.on('message', (message: unknown) => {
    if (!isToWorker(message) || message.kind !== 'standing') return;
    floor = new Map(message.floor);
    const untilMs =
      message.untilMs === null ? Number.POSITIVE_INFINITY : performance.now() + message.untilMs - sharedNowMs();
    gate.stand({ untilMs, floor });
    told.resolve();
  });
  await follower.ready;
  // Flags that came from the disk came without an event.
  for (const slice of follower.inForce().keys()) gate.flagChanged(slice);
  tellPrimary({ kind: 'knows-flags' });
  await told.promise;
  const behind = () => [...floor].filter(([slice, epoch]) => (follower.flagOf(slice)?.epoch ?? 0) < epoch);
  for (const startedMs = performance.now(); behind().length > 0; await pause(10)) {
    if (performance.now() - startedMs < floorWithinMs) continue;
    log.error({ behind: behind() }, 'flags older than those that this proxy has acknowledged; writes are kept back');
    return;
  }
};

const startUpstreams = (config: ProxyConfig, registry: Registry, log: Log, lifecycle: Lifecycle) => {
  const discovery = shareDiscovery(openDiscovery(config, log, lifecycle));
  const upstreams = createUpstreams({
    monolithOrigins: config.monolithOrigins,
    discovery,
    onEvent: createUpstreamAccount(registry, log),
    policies: {
      monolith: { ...monolithPolicy, maxConcurrent: config.upstream.monolithConcurrency },
      service: { ...servicePolicy, maxConcurrent: config.upstream.serviceConcurrency },
    },
  });
  lifecycle.onStop('close', 'upstreams', () => upstreams.close());
  return { upstreams, discovery };
};

const openDiscovery = (config: ProxyConfig, log: Log, lifecycle: Lifecycle): Discovery => {
  if (config.staticInstances !== null) return staticDiscovery(config.staticInstances);
  if (config.consulUrl === null) return staticDiscovery(new Map());
  const consul: ConsulClient = createConsul({
    url: config.consulUrl,
    log,
    ...(config.consulToken === null ? {} : { token: config.consulToken }),
  });
  lifecycle.onStop('close', 'Consul connections', () => consul.close());
  const lastKnown =
    config.dataDirectory === null ? nothingKept : openLastKnown(join(config.dataDirectory, 'discovery'), log);
  lifecycle.onStop('close', 'last known instances', () => lastKnown.written());
  return consulDiscovery({
    consul,
    allowed: config.allowedNetworks,
    lastKnown,
    log,
  });
};

const nothingKept: LastKnown = { read: async () => undefined, write: async () => {}, written: async () => {} };

type GatewayParts = {
  config: ProxyConfig;
  routes: RouteTable;
  metrics: GatewayMetrics;
  registry: Registry;
  log: Log;
  lifecycle: Lifecycle;
  /** Of the worker. */
  number: number;
};

const startGateway = async (
  parts: GatewayParts,
): Promise<{ gateway: RunningGateway | null; afterWrite: AfterWrite | null }> => {
  const { config, routes, metrics, registry, log, lifecycle, number } = parts;
  const { gatewayFile, redisUrl } = config;
  if (gatewayFile === null) return { gateway: null, afterWrite: null };
  let redis: Redis | null = null;
  let cache: RunningCache | null = null;
  const gateway = await openGateway({
    file: gatewayFile,
    redis() {
      if (redisUrl !== null) redis ??= createRedis({ url: redisUrl, log, registry, commandTimeoutMs: 25 });
      return redis;
    },
    cache() {
      if (redisUrl === null) return null;
      cache ??= openCache({
        redisUrl,
        // One worker listens for all that share the Redis.
        changes: number === 1 ? config.cacheChanges : null,
        windowMs: config.readYourWritesMs,
        timeoutMs: config.cacheTimeoutMs,
        secureCookie: config.tls !== null,
        log,
        registry,
      });
      return cache;
    },
    workers: config.workers,
    metrics,
    registry,
    log,
    sliceOf: (method, path) => routes.match(method, path)?.slice ?? null,
    nowMs: () => performance.now(),
  });
  lifecycle.onStop('close', 'gateway', async () => {
    gateway.stop();
    await redis?.close();
  });
  lifecycle.onStop('finish', 'response cache', ({ graceMs }) => cache?.stop(graceMs));
  return { gateway, afterWrite: (accepted) => cache?.wrote(accepted) ?? [] };
};

const startCertificate = async (
  files: ServerCertificateFiles,
  metrics: GatewayMetrics,
  log: Log,
  lifecycle: Lifecycle,
) => {
  let tell: (certificate: ServerCertificate) => void = () => {};
  const followed = await followServerCertificate(files, {
    log,
    onChange: (certificate) => tell(certificate),
    onOutcome: (outcome) => metrics.loaded('certificate', outcome),
  });
  lifecycle.onStop('close', 'certificate', async () => followed.stop());
  return {
    ...followed,
    /** From now on, and at once with the present one: it may have changed since it was asked for. */
    onChange(listener: typeof tell) {
      tell = listener;
      listener(followed.now());
    },
  };
};

const tellAll = (accounts: readonly Account[]): Account => ({
  finished(request) {
    for (const account of accounts) account.finished(request);
  },
});

/** Users that one worker remembers beside the cookie. */
const mostRemembered = 10_000;

const rememberOwnWrites = ({ readYourWritesMs, tls }: ProxyConfig, registry: Registry): OwnWrites | null => {
  const ownWrites = createOwnWrites({
    windowMs: readYourWritesMs,
    maxUsers: mostRemembered,
    secureCookie: tls !== null,
    nowMs: Date.now,
    onForgotten: () => metrics.forgotten(),
  });
  const metrics = createOwnWriteMetrics(registry, ownWrites.size);
  return readYourWritesMs === 0 ? null : ownWrites;
};

/** Tells the primary every second what was counted, while there is a canary. */
const tellReads = (counter: ReadCounter, lifecycle: Lifecycle): void => {
  const telling = setInterval(() => {
    const reads = counter.take();
    if (reads.length > 0) tellPrimary({ kind: 'canary', reads });
  }, lookEveryMs);
  lifecycle.onStop('close', 'figures of canaries', () => clearInterval(telling));
};

const obeyPrimary = (lifecycle: Lifecycle, log: Log, status: () => WorkerStatus, reload: () => void): void => {
  const stop = (reason: string): void => void lifecycle.stop(reason).then(({ exitCode }) => process.exit(exitCode));
  process.on('message', (message: unknown) => {
    if (!isToWorker(message)) return;
    if (message.kind === 'stop') stop(message.reason);
    else if (message.kind === 'reload') reload();
    else if (message.kind === 'tell-status')
      tellPrimary({ kind: 'status', question: message.question, status: status() });
  });
  // A worker whose primary is gone has nobody who would stop it later.
  process.on('disconnect', () => stop('the primary process is gone'));
  // Signals from a terminal reach the whole process group; the primary says when to stop.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => {});
  process.on('SIGHUP', reload);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.fatal({ err: error }, event);
      process.exit(1);
    });
  }
};
