import type { RequestHandler } from 'express';
import { collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { tracing } from '../tracing/bridge.ts';
import { routeTemplateOf } from './route-template.ts';

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** More routes than these are counted as `other`: what a client sends must never make a new time series. */
const mostRoutes = 256;

/** A registry of one program, with the process's own metrics, every series labelled `service`. */
export function createMetrics({ service }: { service: string }): Registry {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  tracing()?.expose(registry);
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
    const routeOf = routeTemplateOf(req);
    inFlight.inc();
    res.once('close', () => {
      inFlight.dec();
      const seconds = Number(process.hrtime.bigint() - startedAt) / 1e9;
      const method = knownMethods.has(req.method) ? req.method : 'other';
      const statusClass = res.writableFinished ? `${Math.floor(res.statusCode / 100)}xx` : 'aborted';
      duration.observe({ method, route: bounded(routeOf() ?? 'none'), status_class: statusClass }, seconds);
    });
    next();
  };
}

/** Handler for `GET /metrics`: the registry in Prometheus's text format. */
export function metricsRoute(registry: Registry): RequestHandler {
  return async (_req, res) => {
    const text = await registry.metrics();
    res.set('content-type', registry.contentType).set('cache-control', 'no-store').end(text);
  };
}
