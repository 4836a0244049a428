import { createAuth } from '@strangler/platform/auth/auth.ts';
import { type ConsulClient, createConsul } from '@strangler/platform/consul/client.ts';
import { registerInstance } from '@strangler/platform/consul/register-instance.ts';
import { createDryRuns } from '@strangler/platform/dry-run/dry-runs.ts';
import { discoveredGrpcInstances, fixedGrpcInstances, type GrpcInstances } from '@strangler/platform/grpc/instances.ts';
import { discoveredHttpInstances, fixedHttpInstance } from '@strangler/platform/http/instances.ts';
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
import { repeat } from '@strangler/platform/repeated-job.ts';
import { openServiceTrust, type ServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import type { Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import { createOrderReader } from './api/order-reader.ts';
import { createApp } from './app.ts';
import { hearAnswers } from './cancellation/answer-consumer.ts';
import { type Cancellations, createCancellations } from './cancellation/cancellation-store.ts';
import { choreographed } from './cancellation/choreographed.ts';
import { orchestrated } from './cancellation/orchestrated.ts';
import { createAnswerOnce } from './checkout/answer-once.ts';
import { createCheckout } from './checkout/checkout.ts';
import { type Clock, systemClock } from './clock.ts';
import type { OrdersConfig } from './config.ts';
import { migrateUp } from './database.ts';
import { notInDryRuns } from './dry-run/dry-run.ts';
import { createEventRecorder } from './events/event-recorder.ts';
import { createKillPoint } from './faults/kill-point.ts';
import type { Fenced } from './fenced.ts';
import { createAccounts } from './neighbours/accounts.ts';
import { createCarts } from './neighbours/carts.ts';
import { listenForPayments } from './neighbours/payment-consumer.ts';
import { createPayments } from './neighbours/payments.ts';
import { cataloguedProducts, copiedProducts, type Products } from './neighbours/products.ts';
import { createServiceToken, type ServiceToken } from './neighbours/service-token.ts';
import { createStock } from './neighbours/stock.ts';
import { createOrderDesk, type OrderDesk } from './order/order-desk.ts';
import { createOrderStore } from './order/order-store.ts';
import { type SalesProjector, startSalesProjector } from './read-models/sales-projector.ts';
import { type Adoption, createAdoption } from './saga/adopt.ts';
import { createLeaving } from './saga/leave-sagas.ts';
import { createPerform } from './saga/perform.ts';
import { createSagaRunner, type SagaRunner } from './saga/saga-runner.ts';
import { createSagaStore } from './saga/saga-store.ts';
import { shopTokens } from './shop-tokens.ts';

export type RunningOrders = {
  server: RunningServer;
  pool: Pool;
  runner: SagaRunner;
  desk: OrderDesk;
  metrics: Registry;
  lifecycle: Lifecycle;
};

export type OrdersOptions = { config: OrdersConfig; log: Log; clock?: Clock };

/** Opens the database, listens for HTTP, drives sagas, registers. What it started is stopped by `lifecycle.stop()`. */
export async function startOrders({ config, log, clock = systemClock }: OrdersOptions): Promise<RunningOrders> {
  const lifecycle = createLifecycle({ log, graceMs: config.drainGraceMs });
  try {
    return await start({ config, log, clock, lifecycle });
  } catch (error) {
    await lifecycle.stop('start failed');
    throw error;
  }
}

type Starting = Required<OrdersOptions> & { lifecycle: Lifecycle };

async function start({ config, log, clock, lifecycle }: Starting): Promise<RunningOrders> {
  if (config.autoMigrate) await migrateUp(config.databaseUrl, log);
  const metrics = createMetrics({ service: 'orders' });
  const pool = createPool(config.databaseUrl, {
    connectionLimit: config.databasePoolMax,
    metrics: { registry: metrics, pool: 'orders' },
  });
  lifecycle.onStop('close', 'database', () => pool.end());
  const dryRuns = createDryRuns({ databaseUrl: config.databaseUrl, slice: config.slice, registry: metrics });
  lifecycle.onStop('close', 'dry runs', () => dryRuns.close());
  const db = dryRuns.pool(pool);

  const owner = await followWrites({ config, log, lifecycle });
  const isOwner = () => (owner?.now()?.owner ?? 'service') === 'service';
  const fence = owner && ownFence((sql, slice) => select(pool, sql, [slice]), config.slice);
  const fenced: Fenced = notInDryRuns(dryRuns, (write) =>
    withinFence(write, { owner, self: 'service', fence, waitMs: config.fenceWaitMs }),
  );

  const { timings, sagas } = config;
  const trust = await openServiceTrust({ self: 'orders', config: config.trust, metrics, log, lifecycle });
  const { stock, payments, carts, accounts, products } = await openNeighbours({ config, log, lifecycle, db, trust });
  const events = createEventRecorder({ epoch: () => owner?.now()?.epoch ?? 1 });
  const orders = createOrderStore({ clock, events });
  const store = createSagaStore({ pool: db, fenced, clock, timings, leaseMs: sagas.leaseMs });
  const adoption = createAdoption({ pool: db, store, orders, clock });
  const perform = createPerform({ stock, carts, payments, orders, holdMs: config.holdMs });
  const killPoint = createKillPoint(config.killAt);
  const runner = createSagaRunner({
    ...{ pool, store, perform, clock, log, metrics, timings, killPoint, isOwner },
    ...sagas,
  });
  const leaving = createLeaving({
    ...{ pool, perform, clock, log, metrics, timings, leaseMs: sagas.leaseMs, capacity: sagas.capacity },
    store: createSagaStore({ pool: db, fenced: (write) => write(), clock, timings, leaseMs: sagas.leaseMs }),
    isAway: () => owner?.now()?.owner === 'monolith',
  });
  const cancellations = createCancellations({ pool, clock, log, metrics });
  const way = config.cancellation === 'choreographed' ? choreographed({ cancellations }) : orchestrated({ runner });
  const desk = createOrderDesk({
    ...{ store, adoption, orders, runner, way, payments },
    waitMs: config.cancelWaitMs,
  });
  const answerOnce = createAnswerOnce({ pool: db, fenced, clock, timings: config.answers });
  const checkout = createCheckout({ store, runner, carts, adoption, answerOnce, clock, timings });

  const auth = createAuth({ realm: 'shop', accessTokens: shopTokens({ jwksUrl: config.jwksUrl, clock }) });
  const reader = createOrderReader({ db, products });
  // None of the others is among the checks: what they are needed for waits for them, and orders can be read.
  const checks = {
    database: async () => void (await pool.query('SELECT 1')),
    ...(owner === undefined ? {} : { ownership: async () => ownershipText(owner) }),
  };
  const waitMs = config.checkoutWaitMs;
  const projector = hear({ config, log, clock, lifecycle, desk, cancellations, pool, isOwner, metrics });
  const app = createApp(
    {
      ...{ owner, dryRuns, guard: trust.http, orders: { auth, reader, desk } },
      checkout: { auth, metrics, checkout, answerOnce, accounts, store, reader, clock, timings, waitMs },
      reports: { auth, pool, clock, projector },
      cancellations: { auth, cancellations },
    },
    { log, metrics, checks, draining: lifecycle.draining },
  );
  const server = await startHttpServer({ handler: app, host: config.host, port: config.port, log, metrics });
  lifecycle.onStop('drain', 'http server', ({ graceMs }) => server.drain(graceMs));

  startJobs({ lifecycle, log, runner, leaving, adoption, isOwner, forget: () => answerOnce.forgetOld() });
  const { consulUrl, serviceId: id } = config;
  if (consulUrl !== undefined)
    await registerInstance({ consulUrl, name: 'orders', id, server, meta: {}, lifecycle, log });
  log.info({ url: server.url }, 'the orders are listening');
  return { server, pool, runner, desk, metrics, lifecycle };
}

/** Without a flag store nobody is followed, and writes are taken as they come. */
async function followWrites({
  config,
  log,
  lifecycle,
}: Pick<Starting, 'config' | 'log' | 'lifecycle'>): Promise<OwnerFollower | undefined> {
  if (config.flags === undefined) return undefined;
  const { flags: address, consulToken: token, slice, dataDirectory: directory } = config;
  const { owner, close } = await openOwner({ address, token, slice, directory, log });
  lifecycle.onStop('close', 'flags', async () => close());
  return owner;
}

/** Products as orders show them: copied until the catalogue's slice is complete, and asked for from then on. */
async function openProducts(
  {
    config,
    log,
    lifecycle,
    db,
    trust,
  }: Pick<Starting, 'config' | 'log' | 'lifecycle'> & { db: Pool; trust: ServiceTrust },
  { consul, serviceToken }: { consul: ConsulClient | undefined; serviceToken: ServiceToken },
): Promise<Products> {
  const copies = copiedProducts(db);
  const { catalogUrl, flags: address, consulToken: token, catalogSlice: slice } = config;
  if (catalogUrl === undefined) return copies;
  if (catalogUrl === 'consul' && consul === undefined)
    throw new Error('the catalogue is to be asked of Consul: set CONSUL_URL');
  const instances =
    catalogUrl === 'consul' && consul !== undefined
      ? discoveredHttpInstances({ consul, service: 'catalog', log })
      : fixedHttpInstance(catalogUrl);
  lifecycle.onStop('close', 'instances of catalog', () => instances.stop());
  // The last known flags are kept by whoever follows the orders' own.
  const opened = address === undefined ? undefined : await openOwner({ address, token, slice, log });
  lifecycle.onStop('close', 'flags of the catalogue', async () => opened?.close());
  return cataloguedProducts({
    ...{ instances, serviceToken, log, otherwise: copies },
    areCopied: () => opened !== undefined && opened.owner.now()?.stage !== 'complete',
    trustHeaders: () => trust.headersFor('catalog'),
  });
}

async function openNeighbours({
  config,
  log,
  lifecycle,
  db,
  trust,
}: Pick<Starting, 'config' | 'log' | 'lifecycle'> & { db: Pool; trust: ServiceTrust }) {
  const { shopUrl, consulUrl, consulToken } = config;
  const consul = consulUrl === undefined ? undefined : createConsul({ url: consulUrl, token: consulToken, log });
  const instancesOf = (service: string, address: string): GrpcInstances => {
    if (address !== 'consul') return fixedGrpcInstances([address]);
    if (consul === undefined) throw new Error(`${service} is to be asked of Consul: set CONSUL_URL`);
    const instances = discoveredGrpcInstances({ consul, service, log });
    lifecycle.onStop('close', `instances of ${service}`, () => instances.stop());
    return instances;
  };
  const serviceToken = createServiceToken({ shopUrl, ...config.serviceAccount });
  const stock = createStock({
    instances: instancesOf('inventory', config.inventory.address),
    timeoutMs: config.inventory.timeoutMs,
    trust: trust.grpcClientOf('inventory'),
  });
  const payments = createPayments({
    ...{ instances: instancesOf('payments', config.payments.address), serviceToken },
    timeoutMs: config.payments.timeoutMs,
    trust: trust.grpcClientOf('payments'),
  });
  lifecycle.onStop('close', 'inventory and payments', async () => {
    stock.close();
    payments.close();
  });
  return {
    ...{ stock, payments },
    carts: createCarts({ shopUrl, serviceToken }),
    accounts: createAccounts({ shopUrl, pool: db, log }),
    products: await openProducts({ config, log, lifecycle, db, trust }, { consul, serviceToken }),
  };
}

/** Orders that are adopted at once; the next ones in the next round. */
const mostAdopted = 20;

function startJobs({
  lifecycle,
  log,
  runner,
  leaving,
  adoption,
  isOwner,
  forget,
}: {
  lifecycle: Lifecycle;
  log: Log;
  runner: SagaRunner;
  leaving: { runOnce(): Promise<number> };
  adoption: Adoption;
  isOwner: () => boolean;
  forget: () => Promise<void>;
}): void {
  runner.start();
  lifecycle.onStop('finish', 'sagas', () => runner.stop());
  const jobs = [
    repeat('leaving sagas to whose the orders are', 1_000, log, async () => void (await leaving.runOnce())),
    repeat('adopting orders', 5_000, log, async () => {
      if (!isOwner()) return;
      for (const sagaId of await adoption.adoptWaiting(mostAdopted)) runner.soon(sagaId);
    }),
    repeat('forgetting old keys', 60_000, log, async () => {
      // Its table is fenced: what is another's is another's to forget.
      if (isOwner()) await forget();
    }),
  ];
  for (const [at, job] of jobs.entries()) lifecycle.onStop('finish', `job ${at}`, () => job.stop());
}

/** What comes by RabbitMQ: that payments are decided, what others say of cancelled orders, and the stream of the read model. */
function hear({
  config: { rabbitmqUrl, outboxExchange: exchange, paymentsQueue: queue, cancellationsQueue },
  log,
  clock,
  lifecycle,
  desk,
  cancellations,
  pool,
  isOwner,
  metrics,
}: Starting & {
  desk: OrderDesk;
  cancellations: Cancellations;
  pool: Pool;
  isOwner: () => boolean;
  metrics: Registry;
}): SalesProjector | undefined {
  if (rabbitmqUrl === undefined) {
    log.info('RABBITMQ_URL is not set: nobody here hears of payments by themselves, and read models stand still');
    return undefined;
  }
  const rabbit = connect({ url: rabbitmqUrl, log, metrics });
  // While the orders are the shop's, its own payments see to them.
  const onNews = async (orderId: number) => (isOwner() ? desk.paymentNews(orderId) : undefined);
  const heard = listenForPayments({ rabbit, exchange, queue, onNews, log, metrics });
  lifecycle.onStop('finish', 'news of payments', ({ graceMs }) => heard.stop(graceMs));
  const answers = hearAnswers({ rabbit, exchange, queue: cancellationsQueue, pool, cancellations, log, metrics });
  lifecycle.onStop('finish', 'answers to cancellations', ({ graceMs }) => answers.stop(graceMs));
  const projector = startSalesProjector({ rabbit, exchange, pool, clock, log, metrics });
  lifecycle.onStop('finish', 'read models', () => projector.stop());
  lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());
  return projector;
}
