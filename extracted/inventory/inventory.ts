import { registerInstance } from '@strangler/platform/consul/register-instance.ts';
import { createDryRuns } from '@strangler/platform/dry-run/dry-runs.ts';
import type { RunningGrpcServer } from '@strangler/platform/grpc/server.ts';
import { createMetrics } from '@strangler/platform/http/metrics.ts';
import { type RunningServer, startHttpServer } from '@strangler/platform/http/server.ts';
import { createLifecycle, type Lifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { pruneInbox } from '@strangler/platform/outbox/inbox.ts';
import { ownFence } from '@strangler/platform/ownership/own-fence.ts';
import { type OwnerFollower, openOwner, ownershipText } from '@strangler/platform/ownership/owner-follower.ts';
import { withinFence } from '@strangler/platform/ownership/within-fence.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { repeat } from '@strangler/platform/repeated-job.ts';
import { openServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import type { Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import { createApp } from './app.ts';
import { hearCancellations } from './cancellations/cancellation-consumer.ts';
import { createPutBack, type PutBack } from './cancellations/put-back.ts';
import { type Clock, systemClock } from './clock.ts';
import type { InventoryConfig } from './config.ts';
import { migrateUp } from './database.ts';
import { notInDryRuns } from './dry-run/dry-run.ts';
import { createEventRecorder } from './events/event-recorder.ts';
import { expireInTime } from './expiry/expiry-consumer.ts';
import { createExpiryMetrics } from './expiry/expiry-metrics.ts';
import { startSweeper } from './expiry/sweeper.ts';
import { startInventoryGrpc } from './grpc/server.ts';
import { listenForProducts } from './products/product-news.ts';
import { createReservationService, type ReservationService } from './reservations/reservation-service.ts';
import { shopAuth } from './shop-auth.ts';
import { createAdjustments } from './stock/adjustments.ts';
import { createStockLedger } from './stock/stock-ledger.ts';
import { createStockReader } from './stock/stock-reader.ts';
import { createTransactions } from './transactions.ts';
import { createStockWatch } from './watch/stock-watch.ts';

export type RunningInventory = {
  server: RunningServer;
  grpc: RunningGrpcServer;
  pool: Pool;
  reservations: ReservationService;
  metrics: Registry;
  lifecycle: Lifecycle;
};

export type InventoryOptions = { config: InventoryConfig; log: Log; clock?: Clock };

type Context = Required<InventoryOptions> & { lifecycle: Lifecycle };

/** Opens the database, listens for HTTP and gRPC, registers. What it started is stopped by `lifecycle.stop()`. */
export async function startInventory({
  config,
  log,
  clock = systemClock,
}: InventoryOptions): Promise<RunningInventory> {
  const lifecycle = createLifecycle({ log, graceMs: config.drainGraceMs });
  try {
    return await start({ config, log, clock, lifecycle });
  } catch (error) {
    await lifecycle.stop('start failed');
    throw error;
  }
}

async function start({ config, log, clock, lifecycle }: Context): Promise<RunningInventory> {
  const { database, host } = config;
  if (config.autoMigrate) await migrateUp(database.url, log);
  const metrics = createMetrics({ service: 'inventory' });
  const pool = createPool(database.url, {
    connectionLimit: database.poolMax,
    queueLimit: database.queueMax,
    lockWaitSeconds: database.lockWaitSeconds,
    metrics: { registry: metrics, pool: 'inventory' },
  });
  lifecycle.onStop('close', 'database', () => pool.end());
  const trust = await openServiceTrust({ self: 'inventory', config: config.trust, metrics, log, lifecycle });
  const dryRuns = createDryRuns({ databaseUrl: database.url, slice: config.slice, registry: metrics });
  lifecycle.onStop('close', 'dry runs', () => dryRuns.close());
  const db = dryRuns.pool(pool);

  const auth = shopAuth({ jwksUrl: config.jwksUrl, clock });
  const owner = await followWrites({ config, log, lifecycle });
  const fence = owner && ownFence((sql, slice) => select(pool, sql, [slice]), config.slice);
  const fenced = notInDryRuns(dryRuns, (write) =>
    withinFence(write, { owner, self: 'service', fence, waitMs: config.fenceWaitMs }),
  );
  const events = createEventRecorder({ epoch: () => owner?.now()?.epoch ?? 1 });
  const ledger = createStockLedger({ events });
  const transactions = createTransactions({ pool: db, registry: metrics });
  const reader = createStockReader(db);
  const adjustments = createAdjustments({ pool: db, transactions, ledger, fenced, clock });
  const reservations = createReservationService({
    ...{ transactions, ledger, fenced, events, clock },
    isTheShops: () => owner?.now()?.holder === 'monolith',
  });
  const putBack = createPutBack({ transactions, fenced, reservations, events, clock });
  // RabbitMQ is not among the checks: without it the sweeper expires what is due.
  const checks = {
    database: async () => void (await pool.query('SELECT 1')),
    ...(owner === undefined ? {} : { ownership: async () => ownershipText(owner) }),
  };

  const app = createApp(
    { auth, owner, dryRuns, guard: trust.http, reader, adjustments },
    { log, metrics, checks, draining: lifecycle.draining },
  );
  const server = await startHttpServer({ handler: app, host, port: config.port, log, metrics });
  lifecycle.onStop('drain', 'http server', ({ graceMs }) => server.drain(graceMs));
  const { watchEveryMs: everyMs, mostTtlMs } = config;
  const watch = createStockWatch({ read: (ids) => reader.levels(ids), everyMs, log, registry: metrics });
  // At the same time as the gRPC server, which waits for the streams to end.
  lifecycle.onStop('drain', 'stock watches', () => watch.stop());
  const serving = { reader, reservations, watch, owner, mostTtlMs, trust, log, registry: metrics };
  const grpc = await startInventoryGrpc({ host, port: config.grpcPort, ...serving });
  lifecycle.onStop('drain', 'grpc server', ({ graceMs }) => grpc.drain(graceMs));

  listenForOthers({ pool, reservations, putBack, metrics, config, log, clock, lifecycle });
  const { consulUrl, serviceId: id } = config;
  if (consulUrl !== undefined)
    await registerInstance({
      consulUrl,
      name: 'inventory',
      id,
      server,
      meta: { grpc_port: `${grpc.port}` },
      lifecycle,
      log,
    });
  log.info({ url: server.url, grpc: grpc.address }, 'the inventory is listening');
  return { server, grpc, pool, reservations, metrics, lifecycle };
}

/** Without a flag store nobody is followed, and writes are taken as they come. */
async function followWrites({
  config,
  log,
  lifecycle,
}: Pick<Context, 'config' | 'log' | 'lifecycle'>): Promise<OwnerFollower | undefined> {
  if (config.flags === undefined) return undefined;
  const { flags: address, consulToken: token, slice, dataDirectory: directory } = config;
  const { owner, close } = await openOwner({ address, token, slice, directory, log });
  lifecycle.onStop('close', 'flags', async () => close());
  return owner;
}

/** For what is due, which the sweeper looks for beside, for news of products, and for cancelled orders. */
function listenForOthers({
  pool,
  reservations,
  putBack,
  metrics: registry,
  config,
  log,
  clock,
  lifecycle,
}: Context & { pool: Pool; reservations: ReservationService; putBack: PutBack; metrics: Registry }): void {
  const counted = createExpiryMetrics({ clock, registry });
  const sweeper = startSweeper({ pool, reservations, everyMs: config.sweepEveryMs, clock, counted, log });
  lifecycle.onStop('finish', 'sweeper', () => sweeper.stop());
  if (config.rabbitmqUrl === undefined) {
    log.info({ sweepEveryMs: config.sweepEveryMs }, 'RABBITMQ_URL is not set: the sweeper alone expires reservations');
    return;
  }
  const rabbit = connect({ url: config.rabbitmqUrl, log, metrics: registry });
  const { outboxExchange: exchange, expiryQueue: queue, productsQueue, cancellationsQueue, inboxKeepMs } = config;
  const listening = { rabbit, exchange, log, registry };
  const expiring = expireInTime({ ...listening, queue, reservations, clock, counted });
  lifecycle.onStop('finish', 'expiry consumer', ({ graceMs }) => expiring.stop(graceMs));
  const products = listenForProducts({ ...listening, queue: productsQueue, pool });
  lifecycle.onStop('finish', 'products consumer', ({ graceMs }) => products.stop(graceMs));
  const cancellations = { rabbit, exchange, queue: cancellationsQueue, putBack, log, metrics: registry };
  const heard = hearCancellations(cancellations);
  lifecycle.onStop('finish', 'cancellations consumer', ({ graceMs }) => heard.stop(graceMs));
  const forgetting = repeat('forgetting handled messages', 60_000, log, async () => {
    await pruneInbox(pool, inboxKeepMs);
  });
  lifecycle.onStop('finish', 'inbox', () => forgetting.stop());
  lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());
}
