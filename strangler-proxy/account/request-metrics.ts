import { Counter, Histogram, type Registry } from 'prom-client';
import type { Account } from './account.ts';
import { boundedMethod, outcomeLabel, reasonOf, sideOf } from './labels.ts';

/**
 * Counts every request by slice, route template, method, side that answered, reason and outcome. All labels come from closed
 * sets or from the slice files, so the number of series has a bound whatever clients send.
 */
export const createRequestMetrics = (registry: Registry): Account => {
  const requests = new Counter({
    name: 'strangler_requests_total',
    help: 'Requests that are over, by where they went, why, and how they ended.',
    labelNames: ['slice', 'route', 'method', 'access', 'side', 'reason', 'outcome'],
    registers: [registry],
  });
  const duration = new Histogram({
    name: 'strangler_request_duration_seconds',
    help: 'Time from the head of a request to the end of its answer, by slice and side. WebSockets are not in it.',
    labelNames: ['slice', 'access', 'side'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [registry],
  });
  const repeats = new Counter({
    name: 'strangler_repeated_attempts_total',
    help: 'Attempts after the first, by slice and by the side they were made at.',
    labelNames: ['slice', 'side'],
    registers: [registry],
  });
  const failures = new Counter({
    name: 'strangler_attempt_failures_total',
    help: 'Attempts at an instance that failed, by upstream and by what went wrong.',
    labelNames: ['upstream', 'error'],
    registers: [registry],
  });

  // Looking up a series by its labels costs more than all the rest; each combination is looked up once.
  const requestSeries = new Map<string, { inc(): void }>();
  const durationSeries = new Map<string, { observe(seconds: number): void }>();

  return {
    finished(request) {
      const { decision, attempts, outcome, protocol, durationMs } = request;
      const slice = decision?.slice ?? 'none';
      const access = decision?.access ?? 'unknown';
      const side = sideOf(request);
      const labels = {
        slice,
        route: decision?.route ?? 'none',
        method: protocol === 'websocket' ? 'websocket' : boundedMethod(request.method),
        access,
        side,
        reason: reasonOf(request),
        outcome: outcomeLabel(outcome),
      };
      const key = `${slice} ${labels.route} ${labels.method} ${access} ${side} ${labels.reason} ${labels.outcome}`;
      let counter = requestSeries.get(key);
      if (counter === undefined) {
        counter = requests.labels(labels);
        requestSeries.set(key, counter);
      }
      counter.inc();

      if (protocol === 'http') {
        const durationKey = `${slice} ${access} ${side}`;
        let histogram = durationSeries.get(durationKey);
        if (histogram === undefined) {
          histogram = duration.labels({ slice, access, side });
          durationSeries.set(durationKey, histogram);
        }
        histogram.observe(durationMs / 1000);
      }

      for (let at = 0; at < attempts.length; at += 1) {
        const { instance, result } = attempts[at]!;
        if (at > 0) repeats.inc({ slice, side: instance.side });
        if (result.kind === 'failed') failures.inc({ upstream: instance.service, error: result.error });
      }
    },
  };
};
