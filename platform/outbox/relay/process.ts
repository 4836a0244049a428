import express from 'express';
import type { Registry } from 'prom-client';
import { healthRouter } from '../../http/health.ts';
import { createMetrics, metricsRoute } from '../../http/metrics.ts';
import { type RunningServer, startHttpServer } from '../../http/server.ts';
import { createLifecycle, type Lifecycle } from '../../lifecycle.ts';
import type { Log } from '../../log.ts';
import { connect } from '../../rabbit.ts';
import { startRotation } from '../rotation.ts';
import type { RelayConfig } from './config.ts';
import { createRelayPool } from './database.ts';
import { defaultPace } from './pace.ts';
import { type Relay, startRelay } from './relay.ts';

export type RunningRelay = { relay: Relay; server: RunningServer; metrics: Registry; lifecycle: Lifecycle };

/** Publishes a database's outbox, with health checks and metrics beside. What it started is stopped by `lifecycle.stop()`. */
export async function startRelayProcess({ config, log }: { config: RelayConfig; log: Log }): Promise<RunningRelay> {
  const lifecycle = createLifecycle({ log, graceMs: config.drainGraceMs });
  try {
    return await start(config, log, lifecycle);
  } catch (error) {
    await lifecycle.stop('start failed');
    throw error;
  }
}

async function start(config: RelayConfig, log: Log, lifecycle: Lifecycle): Promise<RunningRelay> {
  const metrics = createMetrics({ service: 'relay' });
  const db = createRelayPool(config.databaseUrl, metrics);
  lifecycle.onStop('close', 'database', () => db.end());
  const rabbit = connect({ url: config.rabbitmqUrl, log });
  lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());

  const relay = await startRelay({
    db,
    rabbit,
    exchange: config.exchange,
    relayId: config.relayId,
    log,
    metrics,
    leaseTimes: config.leaseTimes,
    pace: { ...defaultPace, maxMs: config.pollIdleMs },
  });
  // Half of the grace for what was sent, the rest for the leases.
  lifecycle.onStop('finish', 'relay', ({ graceMs }) => relay.stop(graceMs / 2));

  const rotation = startRotation({ db, ...config.rotation, log, metrics });
  lifecycle.onStop('drain', 'rotation', () => rotation.stop());

  const app = express();
  app.disable('x-powered-by');
  app.use(
    healthRouter({
      checks: {
        database: async () => void (await db.query('SELECT 1')),
        rabbitmq: async () => {
          const trouble = relay.trouble();
          if (trouble !== undefined) throw new Error(trouble);
        },
      },
      draining: lifecycle.draining,
    }),
  );
  app.get('/metrics', metricsRoute(metrics));
  const server = await startHttpServer({ handler: app, host: config.host, port: config.port, log, metrics });
  lifecycle.onStop('close', 'http server', ({ graceMs }) => server.drain(graceMs));
  log.info({ url: server.url, relayId: config.relayId, exchange: config.exchange }, 'the relay is running');
  return { relay, server, metrics, lifecycle };
}
