import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import { proxyStatusPath } from '@strangler/platform/contracts/proxy-status.ts';
import { healthRouter } from '@strangler/platform/http/health.ts';
import { noSuchRoute, problemResponder } from '@strangler/platform/http/problem.ts';
import type { Log } from '@strangler/platform/log.ts';
import express, { type Express, type Router } from 'express';

export type AdminOptions = {
  log: Log;
  /** Resolves while the proxy can take traffic, throws the reason when it cannot. */
  ready: () => Promise<void>;
  draining: () => boolean;
  status: () => Promise<ProxyStatus>;
  /** The metrics of all workers together, in Prometheus's text format. */
  metrics: () => Promise<{ contentType: string; text: string }>;
  /** What stands under `/dashboard`. */
  dashboard: Router;
};

/** What the admin port answers: dashboard, health, metrics and status. Bound to loopback unless told otherwise. */
export const createAdminApp = ({ log, ready, draining, status, metrics, dashboard }: AdminOptions): Express => {
  const app = express();
  app.disable('x-powered-by');
  app.use(healthRouter({ checks: { proxy: ready }, draining }));
  app.get('/metrics', async (_req, res) => {
    const { contentType, text } = await metrics();
    res.set('content-type', contentType).set('cache-control', 'no-store').end(text);
  });
  app.get(proxyStatusPath, async (_req, res) => {
    res.set('cache-control', 'no-store').json(await status());
  });
  app.use('/dashboard', dashboard);
  app.use(noSuchRoute());
  app.use(problemResponder(log));
  return app;
};
