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
import { type Direction, directions, pipeNameOf } from '../engine/pipe/direction.ts';
import { type Announcer, createAnnouncer } from './announce.ts';
import { beginApplying } from './begin.ts';
import type { ApplierConfig } from './config.ts';
import { createApplierMetrics } from './metrics.ts';
import { type Supervisor, superviseApplier } from './supervise.ts';

export type RunningApplier = {
  supervisors: Record<Direction, Supervisor>;
  server: RunningServer;
  lifecycle: Lifecycle;
};

/**
 * Applies a slice's changes to the service's database, and the service's to the monolith's, while the stage asks for it,
 * with health checks and metrics beside.
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
  const rabbit = connect({ url: config.rabbitmqUrl, log: boundedLog(log), metrics: registry });
  lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());
  // Under the pipe's name: who listens for what has come to the service hears nothing of the way back.
  const announcerOf = (direction: Direction): Announcer =>
    createAnnouncer({
      rabbit,
      exchange: config.exchange,
      slice: pipeNameOf(config.slice, direction),
      log: boundedLog(log),
    });
  const announcers = { forward: announcerOf('forward'), reverse: announcerOf('reverse') };

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
    onEvent: look,
  });
  void follower.ready.then(() => {
    heard = true;
    look();
  });

  const metrics = createApplierMetrics(registry, (direction) => supervisors[direction]);
  const supervisorOf = (direction: Direction): Supervisor => {
    const ownLog = log.child({ direction });
    const own = { announcer: announcers[direction], metrics: metrics[direction], log: ownLog };
    return superviseApplier({
      direction,
      stage: () => (heard ? follower.flagOf(config.slice)?.stage : 'unknown'),
      begin: () => {
        const stage = follower.flagOf(config.slice)?.stage;
        return beginApplying({ config, direction, stage, rabbit, registry, ...own });
      },
      log: boundedLog(ownLog, 60_000),
      // Another instance waits for what this one leaves.
      graceMs: config.drainGraceMs / 2,
    });
  };
  const supervisors: Record<Direction, Supervisor> = {
    forward: supervisorOf('forward'),
    reverse: supervisorOf('reverse'),
  };
  function look(): void {
    for (const direction of directions) supervisors[direction].look();
  }
  lifecycle.onStop('finish', 'applier', async ({ graceMs }) => {
    await Promise.all(directions.map((direction) => supervisors[direction].stop(graceMs / 2)));
    await Promise.all(directions.map((direction) => announcers[direction].close()));
  });

  const check = (direction: Direction) => async (): Promise<void> => {
    const trouble = supervisors[direction].trouble();
    if (trouble !== undefined) throw new Error(`${trouble.cause}: ${trouble.message}`);
  };
  const app = express();
  app.disable('x-powered-by');
  app.use(
    healthRouter({
      checks: { forward: check('forward'), reverse: check('reverse') },
      draining: lifecycle.draining,
    }),
  );
  app.get('/metrics', metricsRoute(registry));
  const server = await startHttpServer({ handler: app, host: config.host, port: config.port, log, metrics: registry });
  lifecycle.onStop('close', 'http server', ({ graceMs }) => server.drain(graceMs));
  log.info({ url: server.url, serviceId: config.serviceId, exchange: config.exchange }, 'the applier is running');
  return { supervisors, server, lifecycle };
}
