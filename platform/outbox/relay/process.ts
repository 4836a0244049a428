import express from 'express';
import { Gauge, type Registry } from 'prom-client';
import { boundedLog } from '../../bounded-log.ts';
import { healthRouter } from '../../http/health.ts';
import { createMetrics, metricsRoute } from '../../http/metrics.ts';
import { type RunningServer, startHttpServer } from '../../http/server.ts';
import { createLifecycle, type Lifecycle } from '../../lifecycle.ts';
import type { Log } from '../../log.ts';
import { connect } from '../../rabbit.ts';
import { startRotation } from '../rotation.ts';
import type { RelayConfig } from './config.ts';
import { createRelayPool } from './database.ts';
import { declaredConnection } from './declared.ts';
import { type KeptRelay, keepRelay, type StartedRelay } from './keep-relay.ts';
import { defaultPace } from './pace.ts';
import { startRelay } from './relay.ts';

export type RunningRelay = { relay: KeptRelay; server: RunningServer; metrics: Registry; lifecycle: Lifecycle };

/**
 * Publishes a database's outbox, with health checks and metrics beside. It waits for an outbox where there is none, and is
 * ready while it waits: it has nothing to do, and does it. What it started is stopped by `lifecycle.stop()`.
 */
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
  // While a server is away each part of the relay tries on, and each would tell of it each time.
  const quiet = boundedLog(log);
  const rabbit = connect({ url: config.rabbitmqUrl, log: quiet, metrics });
  lifecycle.onStop('close', 'rabbitmq', () => rabbit.close());
  const { exchange } = config;
  const declared = declaredConnection(rabbit, { exchange, consumers: [], stream: {} }, quiet);

  async function startOnOutbox(): Promise<StartedRelay> {
    const before = new Set(metrics.getMetricsAsArray().map(({ name }) => name));
    // The next outbox's relay counts anew, under the same names.
    const forgetMetrics = () => {
      for (const { name } of metrics.getMetricsAsArray()) if (!before.has(name)) metrics.removeSingleMetric(name);
    };
    try {
      const relay = await startRelay({
        db,
        rabbit: declared,
        exchange,
        relayId: config.relayId,
        log: quiet,
        metrics,
        leaseTimes: config.leaseTimes,
        pace: { ...defaultPace, maxMs: config.pollIdleMs },
      });
      const rotation = startRotation({ db, ...config.rotation, log: quiet, metrics });
      return {
        source: relay.source,
        trouble: relay.trouble,
        async stop(graceMs) {
          await Promise.all([rotation.stop(), relay.stop(graceMs)]);
        },
        async abandon() {
          await Promise.all([rotation.stop(), relay.abandon()]);
          forgetMetrics();
        },
      };
    } catch (error) {
      forgetMetrics();
      throw error;
    }
  }

  const relay = keepRelay({ db, start: startOnOutbox, log: quiet });
  // Half of the grace for what was sent, the rest for the leases.
  lifecycle.onStop('finish', 'relay', ({ graceMs }) => relay.stop(graceMs / 2));
  new Gauge({
    name: 'relay_publishing',
    help: '1 while there is an outbox to publish, 0 while there is none.',
    registers: [metrics],
    collect() {
      this.set(relay.state() === 'publishing' ? 1 : 0);
    },
  });

  const app = express();
  app.disable('x-powered-by');
  app.use(
    healthRouter({
      checks: {
        database: async () => void (await db.query('SELECT 1')),
        rabbitmq: async () => {
          const trouble =
            declared.undeclared() ?? (rabbit.ready() ? undefined : 'RabbitMQ is away, or takes no messages');
          if (trouble !== undefined) throw new Error(trouble);
        },
        outbox: async () => {
          const trouble = relay.trouble();
          if (trouble !== undefined) throw new Error(trouble);
          if (relay.state() !== 'publishing') return relay.state();
          return undefined;
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
