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
import type { Handovers } from './delivery/handovers.ts';
import { addDeliveryRoutes } from './delivery/routes.ts';
import type { Commands } from './exchanges/commands.ts';
import type { Dispatch } from './exchanges/dispatch.ts';
import type { Invoices } from './invoices/invoices.ts';
import { addInvoiceRoutes } from './invoices/routes.ts';
import type { JobStore } from './jobs/job-store.ts';
import { addJobRoutes } from './jobs/routes.ts';
import type { Notifications } from './notifications/notifications.ts';
import { addNotificationRoutes } from './notifications/routes.ts';
import { addPreferenceRoutes } from './recipients/preference-routes.ts';
import type { Recipients } from './recipients/recipients.ts';
import type { Settings } from './settings/settings.ts';
import type { SettingsBroadcast } from './settings/settings-broadcast.ts';
import { addSettingsRoutes } from './settings/settings-routes.ts';

export type AppParts = {
  auth: Auth;
  /** Undefined: nobody tells who owns the writes. */
  owner: OwnerFollower | undefined;
  dryRuns: DryRuns;
  /** Asks which service calls. */
  guard: HttpGuard;
  notifications: Notifications;
  recipients: Recipients;
  invoices: Invoices;
  jobs: JobStore;
  handovers: Handovers;
  settings: Settings;
  broadcast: Pick<SettingsBroadcast, 'tell'> | undefined;
  commands: Commands | undefined;
  dispatch: Dispatch['dispatch'];
  wake(accountId: number): void;
};

/** The service as one Express application. It listens to nothing and starts nothing by itself. */
export function createApp(
  parts: AppParts,
  {
    log,
    metrics,
    checks,
    draining,
  }: { log: Log; metrics: Registry; checks: Record<string, HealthCheck>; draining: () => boolean },
): Express {
  const { auth, owner, dryRuns, guard } = parts;
  const app = express();
  app.disable('x-powered-by');
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
  addNotificationRoutes(routes, { auth, notifications: parts.notifications });
  addPreferenceRoutes(routes, { auth, recipients: parts.recipients });
  addInvoiceRoutes(routes, { auth, invoices: parts.invoices });
  const operatorOnly = guard.requireCaller(...callers.internal);
  addJobRoutes(routes, { auth, operatorOnly, jobs: parts.jobs, commands: parts.commands });
  addSettingsRoutes(routes, { auth, operatorOnly, settings: parts.settings, broadcast: parts.broadcast, log });
  addDeliveryRoutes(routes, {
    auth,
    operatorOnly,
    handovers: parts.handovers,
    dispatch: parts.dispatch,
    wake: parts.wake,
    log,
  });
  app.use(routes);

  app.use(noSuchRoute());
  app.use(fencedWriteResponder());
  app.use(databaseAway());
  app.use(problemResponder(log));
  return app;
}

/** The API of the shop: its handlers touch the pool and nothing else. What commands workers or tells instances is refused. */
export function canDryRun({ path }: { path: string }): boolean {
  return /^\/api\/notifications(\/[0-9]+\/read)?\/?$/.test(path);
}
