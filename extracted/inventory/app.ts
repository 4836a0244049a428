import type { Auth } from '@strangler/platform/auth/auth.ts';
import type { DryRuns } from '@strangler/platform/dry-run/dry-runs.ts';
import { dryRunMiddleware } from '@strangler/platform/dry-run/middleware.ts';
import { databaseAway } from '@strangler/platform/http/database-away.ts';
import { type HealthCheck, healthRouter } from '@strangler/platform/http/health.ts';
import { httpMetrics, metricsRoute } from '@strangler/platform/http/metrics.ts';
import { noSuchRoute, problemResponder } from '@strangler/platform/http/problem.ts';
import { requestContext } from '@strangler/platform/http/request-context.ts';
import { requestLog } from '@strangler/platform/http/request-log.ts';
import type { Log } from '@strangler/platform/log.ts';
import { epochGuard, fencedWriteResponder } from '@strangler/platform/ownership/epoch-guard.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import type { HttpGuard } from '@strangler/platform/service-trust/http.ts';
import express, { type Express, type Request, Router } from 'express';
import type { Registry } from 'prom-client';
import { callers } from './callers.ts';
import { canDryRun } from './dry-run/dry-run.ts';
import type { Adjustments } from './stock/adjustments.ts';
import type { StockReader } from './stock/stock-reader.ts';
import { addStockRoutes } from './stock/stock-routes.ts';

export type InventoryParts = {
  auth: Auth;
  /** Undefined: nobody tells who owns the writes. */
  owner: OwnerFollower | undefined;
  dryRuns: DryRuns;
  /** Asks which service calls. */
  guard: HttpGuard;
  reader: StockReader;
  adjustments: Adjustments;
};

/** The inventory's HTTP as one Express application. It listens to nothing and starts nothing by itself. */
export function createApp(
  { auth, owner, dryRuns, guard, reader, adjustments }: InventoryParts,
  {
    log,
    metrics,
    checks,
    draining,
  }: { log: Log; metrics: Registry; checks: Record<string, HealthCheck>; draining: () => boolean },
): Express {
  const app = express();
  app.disable('x-powered-by');
  // Entity tags are made where they mean something.
  app.set('etag', false);
  app.set('query parser', 'simple');

  app.use(requestContext());
  app.use(requestLog(log));
  app.use(httpMetrics(metrics));
  app.use(healthRouter({ checks, draining }));
  app.get('/metrics', metricsRoute(metrics));
  // Beside the API and not in it: under `/api` stands the document of the whole shop.
  app.get('/openapi.json', async (_request, response) => {
    // Few ask for it, and a parser of YAML is much to load at every start.
    const { openApiDocument } = await import('./openapi.ts');
    response.json(openApiDocument());
  });

  app.use('/api', guard.api);
  // Before every route: a dry run must not reach one that does not know of it.
  const admit = (request: Request) => guard.admit(request, ...callers.dryRuns);
  app.use(dryRunMiddleware({ dryRuns, promised: canDryRun, admit }));

  const routes = Router();
  routes.use(epochGuard({ owner }));
  addStockRoutes(routes, { auth, reader, adjustments });
  app.use(routes);

  app.use(noSuchRoute());
  app.use(fencedWriteResponder());
  app.use(databaseAway());
  app.use(problemResponder(log));
  return app;
}
