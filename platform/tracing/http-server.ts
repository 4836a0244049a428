import type { Request, Response } from 'express';
import type { RequestContext } from '../http/request-context.ts';
import { routeTemplateOf } from '../http/route-template.ts';
import { type Tracing, tracing } from './bridge.ts';
import { epochMs, isRecorded } from './span.ts';

/** Records a request that has come to an Express app as a span, under its route's template, when it is over. */
export function traceRequest(req: Request, res: Response, context: RequestContext): void {
  const on = tracing();
  if (on !== undefined && isRecorded(context) && !isProbe(req.url)) record(on, req, res, context);
}

function record(on: Tracing, req: Request, res: Response, context: RequestContext): void {
  const startMs = epochMs();
  const routeOf = routeTemplateOf(req);
  const { method } = req;
  const { traceparent, tracestate, parentSpanId } = context;
  res.once('close', () => {
    const route = routeOf();
    const failed = !res.writableFinished ? 'aborted' : res.statusCode >= 500 ? String(res.statusCode) : undefined;
    on.record({
      name: route === undefined ? method : `${method} ${route}`,
      kind: 'server',
      ...{ traceparent, tracestate, parentSpanId, startMs, failed },
      endMs: epochMs(),
      attributes: {
        'http.request.method': method,
        ...(route === undefined ? {} : { 'http.route': route }),
        'http.response.status_code': res.statusCode,
      },
    });
  });
}

function isProbe(url: string): boolean {
  return url.startsWith('/health/') || url === '/metrics';
}
