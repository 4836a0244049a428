import { createCacheLink } from '@strangler/platform/cache/cache-link.ts';
import { type CacheInvalidation, createInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { registerInstance } from '@strangler/platform/consul/register-instance.ts';
import { createDryRuns } from '@strangler/platform/dry-run/dry-runs.ts';
import type { RunningGrpcServer } from '@strangler/platform/grpc/server.ts';
import { createMetrics } from '@strangler/platform/http/metrics.ts';
import { type RunningServer, startHttpServer } from '@strangler/platform/http/server.ts';
import { createLifecycle, type Lifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { ownFence } from '@strangler/platform/ownership/own-fence.ts';
import { type OwnerFollower, openOwner, ownershipText } from '@strangler/platform/ownership/owner-follower.ts';
import { withinFence } from '@strangler/platform/ownership/within-fence.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import { openServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import type { Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import { createApp } from './app.ts';
import { createAuthorNames } from './authors/author-names.ts';
import { listenForChanges } from './cache/change-listener.ts';
import { createReadThrough } from './cache/read-through.ts';
import { createCategoryReader } from './categories/category-reader.ts';
import { createCategoryService } from './categories/category-service.ts';
import { type Clock, systemClock } from './clock.ts';
import type { CatalogConfig } from './config.ts';
import { migrateUp } from './database.ts';
import { withoutTraces } from './dry-run/dry-run.ts';
import { createEventRecorder } from './events/event-recorder.ts';
import type { PlantedFaults } from './faults/planted-faults.ts';
import type { Fenced } from './fenced.ts';
import { startCatalogGrpc } from './grpc/server.ts';
import { createPriceRules } from './products/price-rules.ts';
import { createProductReader } from './products/product-reader.ts';
import { createProductService } from './products/product-service.ts';
import { createReviewReader } from './reviews/review-reader.ts';
import { createReviewService } from './reviews/review-service.ts';
import { shopAuth } from './shop-auth.ts';

export type RunningCatalog = {
  server: RunningServer;
  grpc: RunningGrpcServer;
  pool: Pool;
  invalidation: CacheInvalidation;
  metrics: Registry;
  lifecycle: Lifecycle;
};

export type CatalogOptions = { config: CatalogConfig; log: Log; clock?: Clock };

/** Opens the database, listens for HTTP and gRPC, registers. What it started is stopped by `lifecycle.stop()`. */
export async function startCatalog({ config, log, clock = systemClock }: CatalogOptions): Promise<RunningCatalog> {
  const lifecycle = createLifecycle({ log, graceMs: config.drainGraceMs });
  try {
    return await start({ config, log, clock, lifecycle });
  } catch (error) {
    await lifecycle.stop('start failed');
    throw error;
  }
}

async function start({
  config,
  log,
  clock,
  lifecycle,
}: Required<CatalogOptions> & { lifecycle: Lifecycle }): Promise<RunningCatalog> {
  if (config.autoMigrate) await migrateUp(config.databaseUrl, log);
  const metrics = createMetrics({ service: 'catalog' });
  const pool = createPool(config.databaseUrl, {
    connectionLimit: config.databasePoolMax,
    metrics: { registry: metrics, pool: 'catalog' },
  });
  lifecycle.onStop('close', 'database', () => pool.end());

  const trust = await openServiceTrust({ self: 'catalog', config: config.trust, metrics, log, lifecycle });
  const dryRuns = createDryRuns({ databaseUrl: config.databaseUrl, slice: config.slice, registry: metrics });
  lifecycle.onStop('close', 'dry runs', () => dryRuns.close());
  const planted = await plantedFaults(config);
  // A fault is one of the service's, so a dry run has it too.
  const undone = dryRuns.pool(pool);
  const db = planted?.pool(undone) ?? undone;

  const { link, invalidation, cache: cached } = openCache({ config, log, metrics, lifecycle });
  if (link) listenToPipe({ config, pool, invalidation, log, metrics, lifecycle });
  const auth = shopAuth({ jwksUrl: config.jwksUrl, clock });
  const owner = await followWrites({ config, log, lifecycle });
  const fence = owner && ownFence((sql, slice) => select(pool, sql, [slice]), config.slice);
  const waiting: Fenced = (write) => withinFence(write, { owner, self: 'service', fence, waitMs: config.fenceWaitMs });
  const { cache, ...traces } = withoutTraces(dryRuns, { cache: cached, invalidation, fenced: waiting });
  const events = createEventRecorder({ epoch: () => owner?.now()?.epoch ?? 1 });
  const writing = { pool: db, ...traces, events, clock };
  const authorNames = createAuthorNames({ accountsUrl: config.accountsUrl, pool: db, log });
  const products = {
    reader: createProductReader({ pool: db, cache }),
    service: createProductService(writing),
    priceRules: createPriceRules(writing),
  };
  const categories = {
    reader: createCategoryReader({ pool: db, cache }),
    service: createCategoryService(writing),
  };
  const reviews = {
    reader: createReviewReader({ pool: db, cache }),
    service: createReviewService({ ...writing, authorNames }),
  };
  // Redis and RabbitMQ are not among the checks: without them everything works.
  const checks = {
    database: async () => void (await pool.query('SELECT 1')),
    ...(owner === undefined ? {} : { ownership: async () => ownershipText(owner) }),
  };

  const app = createApp(
    { auth, owner, dryRuns, guard: trust.http, products, categories, reviews },
    { log, metrics, checks, draining: lifecycle.draining },
  );
  const server = await startHttpServer({
    handler: planted?.handler(app) ?? app,
    host: config.host,
    port: config.port,
    log,
    metrics,
  });
  lifecycle.onStop('drain', 'http server', ({ graceMs }) => server.drain(graceMs));
  const { host, grpcPort } = config;
  const grpc = await startCatalogGrpc({ host, port: grpcPort, reader: products.reader, trust, log });
  lifecycle.onStop('drain', 'grpc server', ({ graceMs }) => grpc.drain(graceMs));

  const { consulUrl, serviceId: id } = config;
  if (consulUrl !== undefined)
    await registerInstance({
      consulUrl,
      name: 'catalog',
      id,
      server,
      meta: { grpc_port: `${grpc.port}` },
      lifecycle,
      log,
    });
  log.info({ url: server.url, grpc: grpc.address, cache: link ? 'redis' : 'none' }, 'the catalogue is listening');
  return { server, grpc, pool, invalidation, metrics, lifecycle };
}

/** Nothing of them is loaded where they are not asked for. */
async function plantedFaults({ plantedFault }: CatalogConfig): Promise<PlantedFaults | undefined> {
  if (plantedFault === undefined) return undefined;
  const { createPlantedFaults } = await import('./faults/planted-faults.ts');
  return createPlantedFaults(plantedFault);
}

/** Without a flag store nobody is followed, and writes are taken as they come. */
async function followWrites({
  config,
  log,
  lifecycle,
}: {
  config: CatalogConfig;
  log: Log;
  lifecycle: Lifecycle;
}): Promise<OwnerFollower | undefined> {
  if (config.flags === undefined) return undefined;
  const { flags: address, consulToken: token, slice, dataDirectory: directory } = config;
  const { owner, close } = await openOwner({ address, token, slice, directory, log });
  lifecycle.onStop('close', 'flags', async () => close());
  return owner;
}

function openCache({
  config,
  log,
  metrics,
  lifecycle,
}: {
  config: CatalogConfig;
  log: Log;
  metrics: Registry;
  lifecycle: Lifecycle;
}) {
  const redis =
    config.redisUrl === undefined
      ? undefined
      : createRedis({
          url: config.redisUrl,
          log,
          prefix: config.redisPrefix,
          commandTimeoutMs: config.cache.timeoutMs,
          registry: metrics,
        });
  const link = redis && createCacheLink({ redis, log });
  const invalidation = createInvalidation({ link, log, registry: metrics, name: 'catalog_cache' });
  const cache = createReadThrough({ link, invalidation, times: config.cache, log, registry: metrics });
  lifecycle.onStop('close', 'cache', async () => {
    invalidation.close();
    await redis?.close();
  });
  return { link, invalidation, cache };
}

function listenToPipe({
  config: { rabbitmqUrl, outboxExchange, cacheQueue, cache },
  pool,
  invalidation,
  log,
  metrics,
  lifecycle,
}: {
  config: CatalogConfig;
  pool: Pool;
  invalidation: CacheInvalidation;
  log: Log;
  metrics: Registry;
  lifecycle: Lifecycle;
}): void {
  if (rabbitmqUrl === undefined) {
    const seenWithinMs = cache.keepMs;
    log.info({ seenWithinMs }, 'RABBITMQ_URL is not set: what the pipe writes is seen when the cache forgets');
    return;
  }
  const rabbit = connect({ url: rabbitmqUrl, log, metrics });
  const listener = listenForChanges({
    rabbit,
    exchange: outboxExchange,
    queue: cacheQueue,
    db: pool,
    invalidation,
    log,
    registry: metrics,
  });
  lifecycle.onStop('finish', 'cache listener', ({ graceMs }) => listener.stop(graceMs));
  lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());
}
