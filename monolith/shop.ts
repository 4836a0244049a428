import { join } from 'node:path';
import { type ConsulClient, createConsul } from '@strangler/platform/consul/client.ts';
import { register } from '@strangler/platform/consul/register.ts';
import type { HealthCheck } from '@strangler/platform/http/health.ts';
import { createMetrics } from '@strangler/platform/http/metrics.ts';
import { type RunningServer, startHttpServer } from '@strangler/platform/http/server.ts';
import { createLifecycle, type Lifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import { type OwnerFollower, openOwner, ownershipText } from '@strangler/platform/ownership/owner-follower.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import { openServiceTrust, type ServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import { createApp, type ShopApp } from './app.ts';
import { type AccessTokens, createAccessTokens } from './auth/access-token.ts';
import { createAuth } from './auth/auth.ts';
import { createMachineToken } from './auth/machine-token.ts';
import { configuredSigningKey, createSigningKeys } from './auth/signing-keys.ts';
import { type Clock, systemClock } from './clock.ts';
import type { MonolithConfig } from './config.ts';
import { type Database, databaseMigrations, openDatabase } from './database.ts';
import { createEventRecorder } from './events/event-recorder.ts';
import { schedulePriceJob } from './jobs/price-job.ts';
import { createCatalogue } from './modules/catalogue/catalogue.ts';
import type { ModuleDeps } from './modules/module.ts';
import { createTellingSides } from './modules/notifications/owner/telling-sides.ts';

export type RunningShop = {
  server: RunningServer;
  app: ShopApp;
  database: Database;
  deps: ModuleDeps;
  lifecycle: Lifecycle;
};

/** Opens the database, starts every module and listens. What it started is stopped by `lifecycle.stop()`. */
export async function startShop({
  config,
  log,
  clock = systemClock,
}: {
  config: MonolithConfig;
  log: Log;
  clock?: Clock;
}): Promise<RunningShop> {
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
}: {
  config: MonolithConfig;
  log: Log;
  clock: Clock;
  lifecycle: Lifecycle;
}): Promise<RunningShop> {
  const database = openDatabase({ url: config.databaseUrl, log, poolMax: config.databasePoolMax });
  lifecycle.onStop('close', 'database', () => database.close());
  if (config.autoMigrate) await (await databaseMigrations(database.sequelize, log)).up();

  const metrics = createMetrics({ service: 'monolith' });
  const redis =
    config.redisUrl === undefined
      ? undefined
      : createRedis({ url: config.redisUrl, log, prefix: config.redisPrefix, registry: metrics });
  if (redis) lifecycle.onStop('close', 'redis', () => redis.close());

  const { sequelize, models } = database;
  const signingKeys = createSigningKeys({
    sequelize,
    models,
    clock,
    configuredPem: configuredSigningKey(config),
  });
  const accessTokens = createAccessTokens({ keys: signingKeys, clock, ttlMs: config.accessTokenTtlMs });
  const auth = createAuth({ accessTokens });
  const tellingSides = createTellingSides(await followFlagsOf('notifications', { config, log, lifecycle }));
  const events = createEventRecorder(sequelize, { tellingSides });
  const consul = config.consulUrl === undefined ? undefined : createConsul({ url: config.consulUrl, log });
  if (consul) lifecycle.onStop('close', 'consul', () => consul.close());
  const trust = await openServiceTrust({ self: 'shop', config: config.trust, metrics, log, lifecycle });
  const owner = await followFlagsOf('catalog', { config, log, lifecycle });
  const { catalogUrl, fenceWaitMs: waitMs } = config;
  const catalogue = createCatalogue({
    ...{ sequelize, models, clock, accessTokens, metrics, log, owner, consul, trust, catalogUrl, waitMs },
    service: 'catalog',
  });
  lifecycle.onStop('close', 'catalogue service', () => catalogue.close());
  const orderOwner = await followFlagsOf('orders', { config, log, lifecycle });
  const stockOwner = await followStock({ config, log, lifecycle, consul, trust });
  const paymentOwner = await followPayments({ config, log, lifecycle, consul, accessTokens, trust });
  const deps: ModuleDeps = {
    sequelize,
    models,
    events,
    redis,
    metrics,
    log,
    config,
    clock,
    auth,
    signingKeys,
    accessTokens,
    catalogue,
    tellingSides,
    orderOwner,
    stockOwner,
    paymentOwner,
  };

  const app = createApp(deps, { checks: checksOf(database, owner), draining: lifecycle.draining });
  await startModules(app, lifecycle);

  const server = await startHttpServer({
    handler: app.app,
    host: config.host,
    port: config.port,
    log,
    metrics,
    onUpgrade: app.onUpgrade,
  });
  lifecycle.onStop('drain', 'http server', ({ graceMs }) => server.drain(graceMs));

  const priceJob = schedulePriceJob({ at: config.priceJobAt, writes: catalogue.writes, clock, log });
  lifecycle.onStop('finish', 'price job', () => priceJob.stop());

  if (consul) await registerInstance(consul, { config, server, lifecycle });
  log.info({ url: server.url }, 'the monolith is listening');
  return { server, app, database, deps, lifecycle };
}

/** Without a flag store everything of the slice is here. */
async function followFlagsOf(
  slice: string,
  { config, log, lifecycle }: { config: MonolithConfig; log: Log; lifecycle: Lifecycle },
): Promise<OwnerFollower | undefined> {
  if (config.flags === undefined) return undefined;
  const { flags: address, consulToken: token, dataDirectory: directory } = config;
  const { owner, close } = await openOwner({
    ...{ address, token, slice, log },
    directory: directory && join(directory, slice),
  });
  lifecycle.onStop('close', `flags of ${slice}`, async () => close());
  return owner;
}

/** Without the service's address all stock is here. */
async function followStock({
  config,
  log,
  lifecycle,
  consul,
  trust,
}: {
  config: MonolithConfig;
  log: Log;
  lifecycle: Lifecycle;
  consul: ConsulClient | undefined;
  trust: ServiceTrust;
}): Promise<ModuleDeps['stockOwner']> {
  const { inventoryGrpc } = config;
  if (inventoryGrpc === undefined) return undefined;
  const owner = await followFlagsOf('inventory', { config, log, lifecycle });
  if (owner === undefined) return undefined;
  // With it comes gRPC, which a shop that keeps its stock does without.
  const { createStockClient } = await import('./modules/inventory/owner/stock-client.ts');
  const client = createStockClient({ address: inventoryGrpc, consul, trust: trust.grpcClientOf('inventory'), log });
  lifecycle.onStop('close', 'inventory service', () => client.close());
  return { owner, client };
}

/** Without the service's address all payments are here. */
async function followPayments({
  config,
  log,
  lifecycle,
  consul,
  accessTokens,
  trust,
}: {
  config: MonolithConfig;
  log: Log;
  lifecycle: Lifecycle;
  consul: ConsulClient | undefined;
  accessTokens: AccessTokens;
  trust: ServiceTrust;
}): Promise<ModuleDeps['paymentOwner']> {
  const { paymentsGrpc: address, rabbitmqUrl: url } = config;
  if (address === undefined || url === undefined) return undefined;
  const owner = await followFlagsOf('payments', { config, log, lifecycle });
  if (owner === undefined) return undefined;
  const machineToken = createMachineToken(accessTokens);
  // With it comes gRPC, which a shop that keeps its payments does without.
  const { createPaymentsClient } = await import('./modules/payments/owner/payments-client.ts');
  const client = createPaymentsClient({ address, consul, machineToken, trust: trust.grpcClientOf('payments'), log });
  lifecycle.onStop('close', 'payments service', () => client.close());
  const rabbit = connect({ url, log });
  lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());
  return { owner, client, rabbit };
}

function checksOf(database: Database, owner: OwnerFollower | undefined): Record<string, HealthCheck> {
  return {
    database: database.ping,
    ...(owner === undefined ? {} : { ownership: async () => ownershipText(owner) }),
  };
}

async function startModules({ modules }: ShopApp, lifecycle: Lifecycle): Promise<void> {
  const started: [string, () => Promise<void>][] = [];
  lifecycle.onStop('finish', 'modules', async () => {
    for (const [, stop] of started.reverse()) await stop();
  });
  lifecycle.onStop('drain', 'modules', async () => {
    await Promise.all(Object.values(modules).map((module) => module.drain?.()));
  });
  for (const [name, module] of Object.entries(modules)) {
    await module.start?.();
    started.push([name, async () => module.stop?.()]);
  }
}

async function registerInstance(
  consul: ConsulClient,
  { config, server, lifecycle }: { config: MonolithConfig; server: RunningServer; lifecycle: Lifecycle },
): Promise<void> {
  const registration = await register(consul, {
    name: config.serviceName,
    id: config.serviceId,
    address: server.host,
    port: server.port,
    check: { httpPath: '/health/ready' },
  });
  lifecycle.onStop('deregister', 'consul', () => registration.deregister());
}
