import type { Request, RequestHandler } from 'express';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** More routes than these are counted as `other`: what a client sends must never make a new time series. */
const mostRoutes = 256;

/** A registry of one program, with the process's own metrics, every series labelled `service`. */
export function createMetrics({ service }: { service: string }): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  return registry;
}

/**
 * Express middleware, to stand first: `http_request_duration_seconds` by method, route template and status class
 * (`aborted` when the client went away), and `http_requests_in_flight`.
 */
export function httpMetrics(registry: Registry): RequestHandler {
  const duration = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the request line to the end of the answer.',
    labelNames: ['method', 'route', 'status_class'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  const inFlight = new Gauge({
    name: 'http_requests_in_flight',
    help: 'Requests that have not been answered yet.',
    registers: [registry],
  });
  const routes = new Set<string>();
  const bounded = (route: string): string => {
    if (routes.has(route)) return route;
    if (routes.size >= mostRoutes) return 'other';
    routes.add(route);
    return route;
  };

  return (req, res, next) => {
    const startedAt = process.hrtime.bigint();
    const routeOf = watchRoute(req);
    inFlight.inc();
    res.once('close', () => {
      inFlight.dec();
      const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
      const method = knownMethods.has(req.method) ? req.method : 'other';
      const statusClass = res.writableFinished ? `${Math.floor(res.statusCode / 100)}xx` : 'aborted';
      duration.observe({ method, route: bounded(routeOf()), status_class: statusClass }, seconds);
    });
    next();
  };
}

/**
 * Notes the route's template at the moment Express sets it: when a handler fails, Express has put `baseUrl` back by the
 * time the answer ends.
 */
function watchRoute(req: Request): () => string {
  let template = 'none';
  let route: Request['route'];
  Object.defineProperty(req, 'route', {
    configurable: true,
    enumerable: true,
    get: () => route,
    set: (value: Request['route']) => {
      route = value;
      template = `${mountTemplate(req.baseUrl)}${pathTemplate(value?.path)}`;
    },
  });
  return () => template;
}

function pathTemplate(path: unknown): string {
  if (typeof path === 'string') return path === '/' ? '' : path;
  return Array.isArray(path) ? path.map(String).join('|') : String(path);
}

/** Express keeps the path that a router was mounted under as it was requested: what is not a plain word in it goes. */
function mountTemplate(baseUrl: string): string {
  return baseUrl
    .split('/')
    .map((step) => (step === '' || /^([a-z][a-z_.-]*|v\d{1,2})$/i.test(step) ? step : ':param'))
    .join('/');
}

/** Handler for `GET /metrics`: the registry in Prometheus's text format. */
export function metricsRoute(registry: Registry): RequestHandler {
  return async (_req, res) => {
    const text = await registry.metrics();
    res.set('content-type', registry.contentType).set('cache-control', 'no-store').end(text);
  };
}
