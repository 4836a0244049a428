import type { RequestContext } from '../http/request-context.ts';
import { tracing } from './bridge.ts';
import { faultName, spanOf } from './span.ts';

/** Runs a job in its context, which is a span of its own; `fn` may be synchronous. */
export function traceJob<T>(context: RequestContext, name: string, fn: () => T): T {
  if (tracing() === undefined) return fn();
  const span = spanOf(context, { name, kind: 'internal' });
  if (span === undefined) return fn();
  const failed = (error: unknown): never => {
    span.end(faultName(error));
    throw error;
  };
  try {
    const result = fn();
    if (!(result instanceof Promise)) {
      span.end();
      return result;
    }
    return result.then((value: unknown) => {
      span.end();
      return value;
    }, failed) as T;
  } catch (error) {
    return failed(error);
  }
}
