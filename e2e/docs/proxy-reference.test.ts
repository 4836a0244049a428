import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { createInvalidation } from '@strangler/platform/cache/invalidation.ts';
import * as headers from '@strangler/platform/contracts/headers.ts';
import { createServerMetrics } from '@strangler/platform/http/server-metrics.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createTrustMetrics, exposeCertificate } from '@strangler/platform/service-trust/metrics.ts';
import { createSpanBook, exposeSpanBook } from '@strangler/platform/tracing/bounded-spans.ts';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import { createCanaryMetrics, exposeCanaries } from '@strangler/strangler-proxy/account/canary-metrics.ts';
import { exposeDashboard } from '@strangler/strangler-proxy/account/dashboard-metrics.ts';
import { createFlagAccount, exposeFlags } from '@strangler/strangler-proxy/account/flag-metrics.ts';
import { createGatewayMetrics } from '@strangler/strangler-proxy/account/gateway-metrics.ts';
import { createHoldMetrics, exposeHolds } from '@strangler/strangler-proxy/account/hold-metrics.ts';
import { createOwnWriteMetrics } from '@strangler/strangler-proxy/account/own-write-metrics.ts';
import { createRequestMetrics } from '@strangler/strangler-proxy/account/request-metrics.ts';
import { createShadowMetrics, exposeReport, exposeShadow } from '@strangler/strangler-proxy/account/shadow-metrics.ts';
import { createUpstreamAccount, exposeUpstreams } from '@strangler/strangler-proxy/account/upstream-metrics.ts';
import { environment, options, usage } from '@strangler/strangler-proxy/config.ts';
import { missingPartsCounter } from '@strangler/strangler-proxy/gateway/aggregate/aggregate-policy.ts';
import { createCacheMetrics, createChangeMetrics } from '@strangler/strangler-proxy/gateway/cache/metrics.ts';
import { Registry } from 'prom-client';
import { tableUnder } from './tables.ts';

const page = readFileSync(join(repositoryRoot, 'docs/reference/proxy.md'), 'utf8');
const silent = createLog({ name: 'docs', level: 'silent' });
const rows = tableUnder(page, 'Variables and options');

/** A variable's schema; `undefined` is what an unset one is read from. */
type Field = { safeParse(value: string | undefined): { success: boolean; data?: unknown } };
const fields = environment.shape as unknown as Record<string, Field>;

describe('docs/reference/proxy.md', () => {
  test('has every variable of the environment, and no other', () => {
    expect(rows.map(([variable]) => variable).sort()).toEqual(Object.keys(fields).sort());
  });

  test('says with every variable the option that stands for it', () => {
    const documented = rows.flatMap(([variable, option]) => (option === '' ? [] : [[option, variable]]));
    expect(Object.fromEntries(documented)).toEqual(
      Object.fromEntries(Object.entries(options).map(([option, variable]) => [`--${option}`, variable])),
    );
    for (const option of Object.keys(options)) expect(usage).toContain(`--${option} `);
  });

  test.each(rows.map(([variable, , written]) => [variable!, written!]))(
    'says the default of %s: written out it means the same as leaving it out (%s)',
    (variable, written) => {
      const unset = fields[variable]!.safeParse(undefined);
      if (written === 'required') {
        expect(unset.success).toBe(false);
        return;
      }
      expect(unset.success).toBe(true);
      if (written === '–') expect(unset.data).toBeUndefined();
      else if (written === '(empty)') expect(unset.data).toEqual([]);
      else {
        const told = fields[variable]!.safeParse(written);
        expect(told).toEqual({ success: true, data: unset.data });
      }
    },
  );

  test('lists every metric with its type and labels, and no other', async () => {
    const registry = new Registry();
    createRequestMetrics(registry);
    createFlagAccount(registry);
    exposeFlags(registry, { inForce: () => new Map(), flagOf: () => undefined } as never);
    createUpstreamAccount(registry, createLog({ name: 'docs', level: 'silent' }));
    exposeUpstreams(
      registry,
      () => [],
      () => [],
    );
    createGatewayMetrics(registry);
    createCacheMetrics(registry);
    createChangeMetrics(registry, () => true);
    createInvalidation({ link: undefined, log: silent, registry, name: 'strangler_cache' });
    missingPartsCounter(registry);
    createHoldMetrics(registry);
    exposeHolds(registry, { waiting: () => [], status: () => [] });
    createOwnWriteMetrics(registry, () => 0);
    createCanaryMetrics(registry);
    exposeCanaries(registry, () => []);
    createShadowMetrics(registry);
    exposeShadow(
      registry,
      () => ({ open: 0, waiting: 0, asking: 0, rechecks: 0, memoryBytes: 0 }),
      () => 1,
      () => [],
    );
    exposeReport(
      registry,
      () => ({}),
      () => true,
    );
    createTrustMetrics(registry);
    exposeCertificate(registry, () => undefined);
    exposeSpanBook(registry, createSpanBook({ maxWaiting: 1 }));
    exposeDashboard(registry, () => 0);
    createServerMetrics(registry, 'proxy');
    type Described = { name: string; labelNames?: string[]; constructor: { name: string } };
    const actual = (registry.getMetricsAsArray() as unknown as Described[]).map((metric) => [
      metric.name,
      metric.constructor.name.toLowerCase(),
      (metric.labelNames ?? []).join(', '),
    ]);
    const documented = tableUnder(page, 'Metrics').map((row) => row.slice(0, 3));
    expect(documented.sort()).toEqual(actual.sort());
  });

  test('names the headers and the reasons that the proxy uses', () => {
    const disclosed = [headers.sideHeader, headers.reasonHeader, headers.instanceHeader];
    expect(tableUnder(page, 'Headers on answers').map(([name]) => name)).toEqual(disclosed);
    for (const header of [headers.operatorTokenHeader, headers.forceSideHeader, headers.epochHeader]) {
      expect(page.toLowerCase()).toContain(header);
    }
    const decision = readFileSync(join(repositoryRoot, 'strangler-proxy/decide/decision.ts'), 'utf8');
    const [, union = ''] = /type DecisionReason =([^;]*);/.exec(decision) ?? [];
    const reasons = [...union.matchAll(/'([a-z-]+)'/g)].map(([, reason]) => reason);
    const documented = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name!);
    expect(documented.filter((name) => !name.startsWith('x-')).sort()).toEqual([...reasons, 'fallback'].sort());
  });
});
