import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type HealthCheck, healthRouter } from '@strangler/platform/http/health.ts';
import { httpMetrics, metricsRoute } from '@strangler/platform/http/metrics.ts';
import { noSuchRoute, problemResponder } from '@strangler/platform/http/problem.ts';
import { requestContext } from '@strangler/platform/http/request-context.ts';
import { requestLog } from '@strangler/platform/http/request-log.ts';
import { tellEffects } from '@strangler/platform/http/tell-effects.ts';
import express, { type Express } from 'express';
import { databaseAway } from './http/database-away.ts';
import type { ModuleDeps, ShopModule } from './modules/module.ts';
import { createModules } from './modules/registry.ts';

export type ShopApp = {
  app: Express;
  modules: Record<string, ShopModule>;
  /** Gives a WebSocket upgrade to the module that takes it; 404 when none does. */
  onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
};

/** The whole shop as one Express application. It listens to nothing and starts nothing by itself. */
export function createApp(
  deps: ModuleDeps,
  { checks, draining }: { checks: Record<string, HealthCheck>; draining: () => boolean },
): ShopApp {
  const app = express();
  app.disable('x-powered-by');
  // Entity tags are made where they mean something; Express's own would be weak and would hide a changed price
  // behind a 304 decided by modification dates of one second's resolution.
  app.set('etag', false);
  app.set('query parser', 'simple');

  app.use(requestContext());
  app.use(requestLog(deps.log));
  app.use(httpMetrics(deps.metrics));
  app.use(healthRouter({ checks, draining }));
  app.get('/metrics', metricsRoute(deps.metrics));
  app.get('/api/openapi.json', async (_request, response) => {
    // Few ask for it, and a parser of YAML is much to load at every start.
    const { openApiDocument } = await import('./openapi/document.ts');
    response.json(openApiDocument());
  });

  // For a proxy that compares what this and an extracted service do.
  app.use(tellEffects());
  const modules = createModules(deps);
  for (const module of Object.values(modules)) app.use(module.routes);

  app.use(noSuchRoute());
  app.use(databaseAway());
  app.use(problemResponder(deps.log));
  const onUpgrade: ShopApp['onUpgrade'] = (request, socket, head) => {
    const taken = Object.values(modules).some((module) => module.onUpgrade?.(request, socket, head) ?? false);
    if (!taken) socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
  };
  return { app, modules, onUpgrade };
}
