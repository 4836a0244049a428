import { boundedLog } from '@strangler/platform/bounded-log.ts';
import { type FlagFollower, followFlags } from '@strangler/platform/flags/flag-follower.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { healthRouter } from '@strangler/platform/http/health.ts';
import { createMetrics, metricsRoute } from '@strangler/platform/http/metrics.ts';
import { type RunningServer, startHttpServer } from '@strangler/platform/http/server.ts';
import { createLifecycle, type Lifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import express from 'express';
import { createAnnouncer } from './announce.ts';
import { beginApplying } from './begin.ts';
import type { ApplierConfig } from './config.ts';
import { type ApplierMetrics, createApplierMetrics } from './metrics.ts';
import { type Supervisor, superviseApplier } from './supervise.ts';

export type RunningApplier = { supervisor: Supervisor; server: RunningServer; lifecycle: Lifecycle };

/**
 * Applies a slice's changes to the service's database while its stage asks for it, with health checks and metrics beside.
 * What it started is stopped by `lifecycle.stop()`.
 */
export async function startApplierProcess(given: { config: ApplierConfig; log: Log }): Promise<RunningApplier> {
  const { config } = given;
  const log = given.log.child({ slice: config.slice });
  const lifecycle = createLifecycle({ log, graceMs: config.drainGraceMs });
  try {
    return await start(config, log, lifecycle);
  } catch (error) {
    await lifecycle.stop('start failed');
    throw error;
  }
}

async function start(config: ApplierConfig, log: Log, lifecycle: Lifecycle): Promise<RunningApplier> {
  const registry = createMetrics({ service: 'applier' });
  const rabbit = connect({ url: config.rabbitmqUrl, log: boundedLog(log) });
  lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());
  const announcer = createAnnouncer({ rabbit, exchange: config.exchange, slice: config.slice, log: boundedLog(log) });

  const stopFollowing = new AbortController();
  const token = config.consulToken;
  const flags = openFlagStore(config.flags, { log, ...(token === undefined ? {} : { token }) });
  lifecycle.onStop('close', 'flags', () => {
    stopFollowing.abort();
    flags.close();
  });
  let heard = false;
  const follower: FlagFollower = followFlags({
    store: flags.store,
    log: boundedLog(log),
    signal: stopFollowing.signal,
    directory: config.dataDirectory ?? null,
    onEvent: () => supervisor.look(),
  });
  void follower.ready.then(() => {
    heard = true;
    supervisor.look();
  });

  const metrics: ApplierMetrics = createApplierMetrics(registry, {
    state: () => supervisor.state(),
    trouble: () => supervisor.trouble(),
  });
  const supervisor: Supervisor = superviseApplier({
    stage: () => (heard ? follower.flagOf(config.slice)?.stage : 'unknown'),
    begin: () => beginApplying({ config, rabbit, announcer, log, metrics, registry }),
    log: boundedLog(log, 60_000),
    // Another instance waits for what this one leaves.
    graceMs: config.drainGraceMs / 2,
  });
  lifecycle.onStop('finish', 'applier', async ({ graceMs }) => {
    await supervisor.stop(graceMs / 2);
    await announcer.close();
  });

  const app = express();
  app.disable('x-powered-by');
  app.use(
    healthRouter({
      checks: {
        applying: async () => {
          const trouble = supervisor.trouble();
          if (trouble !== undefined) throw new Error(`${trouble.cause}: ${trouble.message}`);
        },
      },
      draining: lifecycle.draining,
    }),
  );
  app.get('/metrics', metricsRoute(registry));
  const server = await startHttpServer({ handler: app, host: config.host, port: config.port, log, metrics: registry });
  lifecycle.onStop('close', 'http server', ({ graceMs }) => server.drain(graceMs));
  log.info({ url: server.url, serviceId: config.serviceId, exchange: config.exchange }, 'the applier is running');
  return { supervisor, server, lifecycle };
}
