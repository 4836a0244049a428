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
import type { CategoryReader } from './categories/category-reader.ts';
import { addCategoryRoutes } from './categories/category-routes.ts';
import type { CategoryService } from './categories/category-service.ts';
import { canDryRun } from './dry-run/dry-run.ts';
import { addInternalProductRoutes } from './products/internal-product-routes.ts';
import { addPriceRuleRoutes } from './products/price-rule-routes.ts';
import type { PriceRules } from './products/price-rules.ts';
import type { ProductReader } from './products/product-reader.ts';
import { addProductRoutes } from './products/product-routes.ts';
import type { ProductService } from './products/product-service.ts';
import type { ReviewReader } from './reviews/review-reader.ts';
import { addReviewRoutes } from './reviews/review-routes.ts';
import type { ReviewService } from './reviews/review-service.ts';

export type CatalogParts = {
  auth: Auth;
  /** Undefined: nobody tells who owns the writes. */
  owner: OwnerFollower | undefined;
  dryRuns: DryRuns;
  /** Asks which service calls. */
  guard: HttpGuard;
  products: { reader: ProductReader; service: ProductService; priceRules: PriceRules };
  categories: { reader: CategoryReader; service: CategoryService };
  reviews: { reader: ReviewReader; service: ReviewService };
};

/** The catalogue as one Express application. It listens to nothing and starts nothing by itself. */
export function createApp(
  { auth, owner, dryRuns, guard, products, categories, reviews }: CatalogParts,
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

  // The order of routes is that of the methods in the answer to OPTIONS.
  const routes = Router();
  routes.use(epochGuard({ owner }));
  addProductRoutes(routes, { auth, reader: products.reader, products: products.service });
  addCategoryRoutes(routes, { auth, reader: categories.reader, categories: categories.service });
  addReviewRoutes(routes, { auth, reader: reviews.reader, reviews: reviews.service });
  addInternalProductRoutes(routes, { auth, admit: guard.requireCaller(...callers.products), reader: products.reader });
  addPriceRuleRoutes(routes, {
    auth,
    admit: guard.requireCaller(...callers.priceRules),
    priceRules: products.priceRules,
  });
  app.use(routes);

  app.use(noSuchRoute());
  app.use(fencedWriteResponder());
  app.use(databaseAway());
  app.use(problemResponder(log));
  return app;
}
