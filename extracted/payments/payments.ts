import { join } from 'node:path';
import { createAuth } from '@strangler/platform/auth/auth.ts';
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
import { forgetCancelled } from './cancellations/cancelled-orders.ts';
import { createWithdraw, type Withdraw } from './cancellations/withdraw.ts';
import { type Clock, systemClock } from './clock.ts';
import type { PaymentsConfig } from './config.ts';
import { migrateUp } from './database.ts';
import { withoutTraces } from './dry-run/dry-run.ts';
import { createEventRecorder } from './events/event-recorder.ts';
import { startPaymentsGrpc } from './grpc/server.ts';
import { createAnswerOnce } from './idempotency/answer-once.ts';
import { createCharging } from './payment/charging.ts';
import { createLearning } from './payment/learning.ts';
import { createRefunding } from './payment/refunding.ts';
import { type Compartment, createCompartment, createCompartmentMetrics } from './provider/compartment.ts';
import { createProviderClient, type ProviderClient } from './provider/provider-client.ts';
import { createReconciler, type Reconciler } from './reconciler/reconciler.ts';
import { shopTokens } from './shop-tokens.ts';
import { createParkedWebhooks, type ParkedWebhooks } from './webhooks/parked-webhooks.ts';
import { takeRefusedWebhooks } from './webhooks/refused-webhooks.ts';
import { createWebhookInbox, type WebhookInbox } from './webhooks/webhook-inbox.ts';

export type RunningPayments = {
  server: RunningServer;
  grpc: RunningGrpcServer;
  pool: Pool;
  reconciler: Reconciler;
  parked: ParkedWebhooks;
  /** Of those who wait for an answer. */
  compartment: Compartment;
  metrics: Registry;
  lifecycle: Lifecycle;
};

export type PaymentsOptions = { config: PaymentsConfig; log: Log; clock?: Clock };

/** Opens the database, listens for HTTP and gRPC, reconciles, registers. What it started is stopped by `lifecycle.stop()`. */
export async function startPayments({ config, log, clock = systemClock }: PaymentsOptions): Promise<RunningPayments> {
  const lifecycle = createLifecycle({ log, graceMs: config.drainGraceMs });
  try {
    return await start({ config, log, clock, lifecycle });
  } catch (error) {
    await lifecycle.stop('start failed');
    throw error;
  }
}

type Starting = Required<PaymentsOptions> & { lifecycle: Lifecycle };

async function start({ config, log, clock, lifecycle }: Starting): Promise<RunningPayments> {
  if (config.autoMigrate) await migrateUp(config.databaseUrl, log);
  const metrics = createMetrics({ service: 'payments' });
  const pool = createPool(config.databaseUrl, {
    connectionLimit: config.databasePoolMax,
    metrics: { registry: metrics, pool: 'payments' },
  });
  lifecycle.onStop('close', 'database', () => pool.end());
  const trust = await openServiceTrust({ self: 'payments', config: config.trust, metrics, log, lifecycle });
  const dryRuns = createDryRuns({ databaseUrl: config.databaseUrl, slice: config.slice, registry: metrics });
  lifecycle.onStop('close', 'dry runs', () => dryRuns.close());
  const db = dryRuns.pool(pool);

  const accessTokens = shopTokens({ jwksUrl: config.jwksUrl, clock });
  const owner = await follow(config.slice, { config, log, lifecycle });
  const telling = await follow(config.tellingSlice, { config, log, lifecycle });
  const isOwner = () => (owner?.now()?.owner ?? 'service') === 'service';
  const fence = owner && ownFence((sql, slice) => select(pool, sql, [slice]), config.slice);
  const { compartment, calls } = openProvider({ config, metrics, lifecycle });

  let reconciler: Reconciler | undefined;
  const { fenced, provider, onRefundOwed } = withoutTraces(dryRuns, {
    fenced: (write) => withinFence(write, { owner, self: 'service', fence, waitMs: config.fenceWaitMs }),
    provider: calls.callers,
    onRefundOwed: (paymentId) => reconciler?.soon(paymentId),
  });
  const marks = () => tellingMarks(config.tellingSlice, telling);
  const events = createEventRecorder({ epoch: () => owner?.now()?.epoch ?? 1, marks });
  const timings = config.checks;
  const shared = { pool: db, fenced, events, clock, log, metrics, timings, onRefundOwed };
  const learning = createLearning(shared);
  const charging = createCharging({ ...shared, learning, provider });
  const refunding = createRefunding({ ...shared, learning, provider });
  const withdraw = createWithdraw({ ...shared, learning });
  const answerOnce = createAnswerOnce({ pool, clock, timings: config.answers, metrics });
  const inbox = createWebhookInbox({ ...shared, learning, parkFirstMs: config.parking.parkFirstMs });
  reconciler = createReconciler({
    ...{ pool, clock, log, metrics, learning, refunding, timings, isOwner },
    provider: calls.reconciler,
    everyMs: config.reconcileEveryMs,
    capacity: config.provider.reconcilerCapacity,
  });
  const parked = createParkedWebhooks({ pool, inbox, events, clock, log, metrics, timings: config.parking, isOwner });

  const auth = createAuth({ realm: 'shop', accessTokens });
  // Neither the provider nor RabbitMQ is among the checks: without them what comes is taken and decided later.
  const checks = {
    database: async () => void (await pool.query('SELECT 1')),
    ...(owner === undefined ? {} : { ownership: async () => ownershipText(owner) }),
  };
  const app = createApp(
    {
      owner,
      dryRuns,
      guard: trust.http,
      payments: { auth, pool: db, charging, refunding, answerOnce, v1Ends: config.v1Ends },
      webhooks: { inbox, clock, secrets: config.webhookSecrets },
    },
    { log, metrics, checks, draining: lifecycle.draining },
  );
  const server = await startHttpServer({ handler: app, host: config.host, port: config.port, log, metrics });
  lifecycle.onStop('drain', 'http server', ({ graceMs }) => server.drain(graceMs));
  const { host, grpcPort: port } = config;
  const called = { pool, accessTokens, owner, charging, refunding, answerOnce, trust, log };
  const grpc = await startPaymentsGrpc({ host, port, ...called });
  lifecycle.onStop('drain', 'grpc server', ({ graceMs }) => grpc.drain(graceMs));

  const forget = async () => {
    await answerOnce.forgetOld();
    await pruneInbox(pool, config.inboxKeepMs);
    await forgetCancelled(pool, clock.now(), config.inboxKeepMs);
  };
  startJobs({ config, log, lifecycle, reconciler, parked, inbox, isOwner, forget });
  takeMessages({ config, log, lifecycle, inbox, withdraw, metrics });
  const { consulUrl, serviceId: id } = config;
  if (consulUrl !== undefined)
    await registerInstance({
      consulUrl,
      name: 'payments',
      id,
      server,
      meta: { grpc_port: `${grpc.port}` },
      lifecycle,
      log,
    });
  log.info({ url: server.url, grpc: grpc.address }, 'the payments are listening');
  return { server, grpc, pool, reconciler, parked, compartment, metrics, lifecycle };
}

/** Without a flag store nobody is followed, and writes are taken as they come. */
/** Says of an event who tells the customer of it, and under which epoch. Nothing, where there are no flags. */
function tellingMarks(slice: string, owner: OwnerFollower | undefined): Record<string, string> {
  if (owner === undefined) return {};
  const { holder = 'monolith', epoch = 1 } = owner.now() ?? {};
  return { [slice]: `${holder}/${epoch}` };
}

async function follow(
  slice: string,
  { config, log, lifecycle }: Pick<Starting, 'config' | 'log' | 'lifecycle'>,
): Promise<OwnerFollower | undefined> {
  if (config.flags === undefined) return undefined;
  const { flags: address, consulToken: token, dataDirectory: directory } = config;
  const kept = directory && join(directory, slice);
  const { owner, close } = await openOwner({ address, token, slice, directory: kept, log });
  lifecycle.onStop('close', `flags of ${slice}`, async () => close());
  return owner;
}

/** Two compartments, so that what callers wait for and what is found out behind them do not take each other's room. */
function openProvider({
  config: { provider },
  metrics: registry,
  lifecycle,
}: {
  config: PaymentsConfig;
  metrics: Registry;
  lifecycle: Lifecycle;
}): { compartment: Compartment; calls: { callers: ProviderClient; reconciler: ProviderClient } } {
  const metrics = createCompartmentMetrics(registry);
  const open = (name: string, capacity: number): Compartment => {
    const opened = createCompartment({ name, capacity, ...provider.circuit, metrics });
    lifecycle.onStop('close', `${name} compartment`, async () => opened.close());
    return opened;
  };
  const client = (compartment: Compartment) =>
    createProviderClient({ url: provider.url, timeoutMs: provider.timeoutMs, compartment });
  const callers = open('callers', provider.capacity);
  const behind = open('reconciler', provider.reconcilerCapacity);
  return { compartment: callers, calls: { callers: client(callers), reconciler: client(behind) } };
}

function startJobs({
  config,
  log,
  lifecycle,
  reconciler,
  parked,
  inbox,
  isOwner,
  forget,
}: {
  config: PaymentsConfig;
  log: Log;
  lifecycle: Lifecycle;
  reconciler: Reconciler;
  parked: ParkedWebhooks;
  inbox: WebhookInbox;
  isOwner: () => boolean;
  forget: () => Promise<void>;
}): void {
  reconciler.start();
  lifecycle.onStop('finish', 'reconciler', () => reconciler.stop());
  const jobs = [
    repeat(
      'parked webhooks',
      Math.min(1_000, config.parking.parkFirstMs),
      log,
      async () => void (await parked.runOnce()),
    ),
    repeat('forgetting old webhooks and keys', 60_000, log, async () => {
      await forget();
      // Its table is fenced: what is another's is another's to forget.
      if (isOwner()) await inbox.forgetOld();
    }),
  ];
  for (const [at, job] of jobs.entries()) lifecycle.onStop('finish', `job ${at}`, () => job.stop());
}

function takeMessages({
  config: { rabbitmqUrl, outboxExchange: exchange, webhookQueue: queue, cancellationsQueue },
  log,
  lifecycle,
  inbox,
  withdraw,
  metrics,
}: {
  config: PaymentsConfig;
  log: Log;
  lifecycle: Lifecycle;
  inbox: WebhookInbox;
  withdraw: Withdraw;
  metrics: Registry;
}): void {
  if (rabbitmqUrl === undefined) {
    log.info('RABBITMQ_URL is not set: refused webhooks and cancelled orders are not taken from their queues here');
    return;
  }
  const rabbit = connect({ url: rabbitmqUrl, log, metrics });
  const refused = takeRefusedWebhooks({ rabbit, exchange, queue, inbox, log, metrics });
  lifecycle.onStop('finish', 'refused webhooks', ({ graceMs }) => refused.stop(graceMs));
  const heard = hearCancellations({ rabbit, exchange, queue: cancellationsQueue, withdraw, log, metrics });
  lifecycle.onStop('finish', 'cancellations consumer', ({ graceMs }) => heard.stop(graceMs));
  lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());
}
