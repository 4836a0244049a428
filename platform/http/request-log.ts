import type { RequestHandler } from 'express';
import type { Log } from '../log.ts';
import { routeTemplateOf } from './route-template.ts';

/**
 * Express middleware, to stand after `requestContext`: a line of level `debug` for each request that is over, with the ids of
 * its request and trace. The proxy's access log tells of the same request, at `info`.
 */
export function requestLog(log: Log): RequestHandler {
  return (req, res, next) => {
    if (!log.isLevelEnabled('debug')) return next();
    const startedMs = performance.now();
    const routeOf = routeTemplateOf(req);
    res.once('close', () => {
      const durationMs = Math.round((performance.now() - startedMs) * 100) / 100;
      const outcome = res.writableFinished ? 'answered' : 'aborted';
      log.debug(
        { method: req.method, route: routeOf() ?? null, status: res.statusCode, outcome, durationMs },
        'request',
      );
    });
    next();
  };
}
