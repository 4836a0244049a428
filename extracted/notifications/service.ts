import { registerInstance } from '@strangler/platform/consul/register-instance.ts';
import { createDryRuns } from '@strangler/platform/dry-run/dry-runs.ts';
import { createMetrics } from '@strangler/platform/http/metrics.ts';
import { type RunningServer, startHttpServer } from '@strangler/platform/http/server.ts';
import { createLifecycle, type Lifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type OwnerFollower, openOwner, ownershipText } from '@strangler/platform/ownership/owner-follower.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import { openServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import type { Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import { createApp } from './app.ts';
import { type Clock, systemClock } from './clock.ts';
import type { NotificationsConfig } from './config.ts';
import { migrateUp } from './database.ts';
import { createHandovers } from './delivery/handovers.ts';
import { createInvoices } from './invoices/invoices.ts';
import { createJobStore } from './jobs/job-store.ts';
import { createNotifications } from './notifications/notifications.ts';
import { startPipeline } from './pipeline.ts';
import { createRecipients } from './recipients/recipients.ts';
import { createSettings } from './settings/settings.ts';
import { shopAuth } from './shop-auth.ts';
import { StreamServer } from './stream/stream-server.ts';
import { createWakeUps } from './stream/wake-ups.ts';

export type RunningNotifications = {
  server: RunningServer;
  pool: Pool;
  metrics: Registry;
  lifecycle: Lifecycle;
  /** Whether everything that is to be listened to is listened to. */
  listening(): boolean;
};

export type NotificationsOptions = { config: NotificationsConfig; log: Log; clock?: Clock };

/** Opens the database, listens for HTTP and for events, does jobs, registers. What it started is stopped by `lifecycle.stop()`. */
export async function startNotifications({
  config,
  log,
  clock = systemClock,
}: NotificationsOptions): Promise<RunningNotifications> {
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
}: Required<NotificationsOptions> & { lifecycle: Lifecycle }): Promise<RunningNotifications> {
  if (config.autoMigrate) await migrateUp(config.databaseUrl, log);
  const metrics = createMetrics({ service: 'notifications' });
  const pool = createPool(config.databaseUrl, {
    connectionLimit: config.databasePoolMax,
    metrics: { registry: metrics, pool: 'notifications' },
  });
  lifecycle.onStop('close', 'database', () => pool.end());
  const trust = await openServiceTrust({ self: 'notifications', config: config.trust, metrics, log, lifecycle });
  const dryRuns = createDryRuns({ databaseUrl: config.databaseUrl, slice: config.slice, registry: metrics });
  lifecycle.onStop('close', 'dry runs', () => dryRuns.close());
  const db = dryRuns.pool(pool);

  const { redisUrl, redisPrefix, rabbitmqUrl } = config;
  const redis = redisUrl === undefined ? undefined : createRedis({ url: redisUrl, log, registry: metrics });
  const wakeUps = createWakeUps({ redis, redisUrl, redisPrefix, log });
  lifecycle.onStop('close', 'redis', async () => {
    await wakeUps.stop();
    await redis?.close();
  });

  const owner = await followWrites({ config, log, lifecycle });
  const auth = shopAuth({ jwksUrl: config.jwksUrl, clock });
  const notifications = createNotifications({ pool: db, clock });
  const recipients = createRecipients({ pool });
  const invoices = createInvoices({ pool, clock });
  const jobs = createJobStore({ pool });
  const settings = createSettings({ pool, clock, log });
  const handovers = createHandovers({ pool, clock });
  const rabbit = rabbitmqUrl === undefined ? undefined : connect({ url: rabbitmqUrl, log, metrics });
  if (rabbit) lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());
  const shared = { config, pool, recipients, invoices, jobs, settings, clock, log, metrics, lifecycle };
  const pipeline = rabbit && startPipeline({ ...shared, rabbit, wake: wakeUps.wake });
  if (!pipeline) log.warn('RABBITMQ_URL is not set: no events are taken, and nothing is delivered');

  const tells = () => owner?.now()?.holder !== 'monolith';
  const streams = new StreamServer({
    auth,
    admit: trust.http.admitToApi,
    notifications,
    wakeUps,
    tells,
    log,
    metrics,
    limits: config.streams,
  });
  streams.start();
  const dispatch = pipeline?.dispatch ?? (async () => {});
  const app = createApp(
    {
      guard: trust.http,
      ...{ auth, owner, dryRuns, notifications, recipients, invoices, jobs, handovers, settings, dispatch },
      broadcast: pipeline?.broadcast,
      commands: pipeline?.commands,
      wake: wakeUps.wake,
    },
    {
      log,
      metrics,
      // RabbitMQ, Redis and the mail server are not among them: without them the API works, and what is to be sent waits.
      checks: {
        database: async () => void (await pool.query('SELECT 1')),
        ...(owner === undefined ? {} : { ownership: async () => ownershipText(owner) }),
        delivery: async () => `mode ${(await handovers.status()).mode} for unmarked events`,
      },
      draining: lifecycle.draining,
    },
  );
  const server = await startHttpServer({
    handler: app,
    host: config.host,
    port: config.port,
    log,
    metrics,
    onUpgrade: (request, socket, head) => {
      if (streams.onUpgrade(request, socket, head)) return;
      socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    },
  });
  lifecycle.onStop('drain', 'streams', () => streams.drain());
  lifecycle.onStop('drain', 'http server', ({ graceMs }) => server.drain(graceMs));

  const { consulUrl, serviceId: id } = config;
  if (consulUrl !== undefined) await registerInstance({ consulUrl, name: 'notifications', id, server, lifecycle, log });
  log.info({ url: server.url, workers: config.workers }, 'the notifications are listening');
  return { server, pool, metrics, lifecycle, listening: () => wakeUps.ready() && (pipeline?.listening() ?? true) };
}

/** Without a flag store nobody is followed, and writes are taken as they come. */
async function followWrites({
  config,
  log,
  lifecycle,
}: {
  config: NotificationsConfig;
  log: Log;
  lifecycle: Lifecycle;
}): Promise<OwnerFollower | undefined> {
  if (config.flags === undefined) return undefined;
  const { flags: address, consulToken: token, slice, dataDirectory: directory } = config;
  const { owner, close } = await openOwner({ address, token, slice, directory, log });
  lifecycle.onStop('close', 'flags', async () => close());
  return owner;
}
