import { describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { Registry } from 'prom-client';
import type { Decision } from '../decide/decision.ts';
import type { Instance } from '../upstream/upstream.ts';
import { createAccessLog } from './access-log.ts';
import type { Finished } from './account.ts';
import { createRequestMetrics } from './request-metrics.ts';

const instance = (side: Instance['side']): Instance => ({
  id: `${side}-1`,
  side,
  service: side === 'service' ? 'catalog' : 'monolith',
  origin: 'http://127.0.0.1:1',
});
const decision: Decision = {
  side: 'service',
  reason: 'percentage',
  access: 'read',
  slice: 'catalog',
  service: 'catalog',
  route: '/api/products/:id',
  monolithMayServe: true,
  epoch: 1,
  changeId: 'c1',
  ownWrite: null,
  setCookie: null,
  disclose: false,
};
const finished = (over: Partial<Finished> = {}): Finished => ({
  protocol: 'http',
  method: 'GET',
  requestId: 'r1',
  traceparent: null,
  facts: {
    method: 'GET',
    path: '/api/products/7',
    headers: {},
    clientAddress: '127.0.0.1',
    operator: false,
    forcedSide: null,
    verifiedClaims: null,
  },
  decision,
  attempts: [{ instance: instance('service'), result: { kind: 'answered', status: 200, latencyMs: 2 } }],
  outcome: { kind: 'answered', status: 200 },
  durationMs: 3,
  ...over,
});

describe('request metrics', () => {
  test('count by slice, route template, side, reason and outcome', async () => {
    const registry = new Registry();
    const account = createRequestMetrics(registry);
    account.finished(finished());
    account.finished(finished());
    const text = await registry.metrics();
    expect(text).toContain(
      'strangler_requests_total{slice="catalog",route="/api/products/:id",method="GET",access="read",side="service",reason="percentage",outcome="2xx"} 2',
    );
    expect(text).toContain('strangler_request_duration_seconds_count{slice="catalog",access="read",side="service"} 2');
  });

  test('count a fall-back for the side that answered, with the attempt that failed', async () => {
    const registry = new Registry();
    createRequestMetrics(registry).finished(
      finished({
        attempts: [
          {
            instance: instance('service'),
            result: {
              kind: 'failed',
              error: 'upstream-refused',
              phase: 'connect',
              connection: 'fresh',
              detail: 'ECONNREFUSED',
              latencyMs: 1,
            },
          },
          { instance: instance('monolith'), result: { kind: 'answered', status: 200, latencyMs: 2 } },
        ],
      }),
    );
    const text = await registry.metrics();
    expect(text).toContain('strangler_repeated_attempts_total{slice="catalog",side="monolith"} 1');
    expect(text).toContain('strangler_attempt_failures_total{upstream="catalog",error="upstream-refused"} 1');
    expect(text).toMatch(/strangler_requests_total\{.*side="monolith".*outcome="2xx"\} 1/);
  });

  test('have a bounded number of series, whatever clients send', async () => {
    const registry = new Registry();
    const account = createRequestMetrics(registry);
    for (let number = 0; number < 1000; number += 1) {
      account.finished(
        finished({
          method: `M${number}`,
          facts: null,
          decision: null,
          attempts: [],
          outcome: { kind: 'refused', rule: 'target-size', status: 414 },
        }),
      );
    }
    const series = (await registry.metrics())
      .split('\n')
      .filter((line) => line.startsWith('strangler_requests_total{'));
    expect(series).toHaveLength(1);
    expect(series[0]).toContain('method="other"');
  });
});

describe('the access log', () => {
  const linesOf = (detail: 'all' | 'failures' | 'none', requests: Finished[]) => {
    const lines: Record<string, unknown>[] = [];
    const log = createLog({
      name: 'test',
      level: 'info',
      destination: { write: (line: string) => void lines.push(JSON.parse(line)) },
    });
    const account = createAccessLog(log, detail);
    for (const request of requests) account.finished(request);
    return lines;
  };
  const failed = finished({ outcome: { kind: 'no-instance', why: 'all-ejected', status: 503 }, attempts: [] });

  test('tells of all requests, of those that failed, or of none', () => {
    expect(linesOf('all', [finished(), failed])).toHaveLength(2);
    expect(linesOf('failures', [finished(), failed])).toMatchObject([
      { outcome: 'no-instance-all-ejected', path: '/api/products/7' },
    ]);
    expect(linesOf('none', [finished(), failed])).toHaveLength(0);
  });

  test('never writes what stands in headers', () => {
    const secret = finished({
      facts: { ...failed.facts!, headers: { authorization: 'Bearer top-secret', cookie: 'a=top-secret' } },
    });
    expect(JSON.stringify(linesOf('all', [secret]))).not.toContain('top-secret');
  });
});
