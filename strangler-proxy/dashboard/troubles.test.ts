import { describe, expect, test } from '@jest/globals';
import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import type { AskedProxy } from '@strangler/platform/proxy-status/ask-proxies.ts';
import fc from 'fast-check';
import { type TroubleInputs, troublesOf } from './troubles.ts';

type InstanceState = 'healthy' | 'ejected' | 'probing' | 'critical' | 'draining';
const upstream = (name: string, states: InstanceState[], circuit: 'closed' | 'open' | 'half-open' = 'closed') => ({
  ...{ name, circuit, inFlight: 0, maxConcurrent: 10 },
  instances: states.map((state, at) => ({
    ...{ id: `${name}-${at}`, origin: 'http://127.0.0.1:1', state, outstanding: 0, failures: 0 },
    ...{ ejectedUntil: null, latencyEwmaMs: null },
  })),
});
const proxy = (...workers: ReturnType<typeof upstream>[][]): AskedProxy => ({
  address: 'http://127.0.0.1:9',
  status: {
    id: 'proxy-1',
    workers: workers.map((upstreams, worker) => ({
      ...{ worker, pid: 1, flagSource: 'store', flags: [], upstreams, inFlight: 0 },
    })),
  } as unknown as ProxyStatus,
});
const up = upstream('monolith', ['healthy']);
const fine: TroubleInputs = {
  asked: [proxy([up])],
  store: { location: 'consul', reachable: true, why: null },
  redisReady: true,
  slices: [],
};
const catalogAt = (stage: Stage) => [{ slice: 'catalog', service: 'catalog', stage }];
const told = (more: Partial<TroubleInputs>) => troublesOf({ ...fine, ...more });

test('nothing is told while everything answers, or is not used at all', () => {
  expect(troublesOf(fine)).toEqual([]);
  expect(told({ redisReady: null })).toEqual([]);
});

test('each that is away is told with what is done meanwhile, the worst first', () => {
  const troubles = told({
    redisReady: false,
    store: { location: 'consul', reachable: false, why: 'ECONNREFUSED' },
    asked: [proxy([upstream('monolith', ['ejected'])]), { address: 'http://127.0.0.1:8', failure: 'ECONNREFUSED' }],
  });
  expect(troubles.map(({ what, level }) => [what, level])).toEqual([
    ['monolith', 'bad'],
    ['proxy', 'warn'],
    ['flags', 'warn'],
    ['redis', 'warn'],
  ]);
  for (const { text, meanwhile } of troubles) expect([text.length > 0, meanwhile.length > 0]).toEqual([true, true]);
});

describe('a service', () => {
  const away = (stage: Stage, service = upstream('catalog', [])) =>
    told({ asked: [proxy([up, service])], slices: catalogAt(stage) });

  test('counts from the stage on at which something is asked of it, and is worst where nobody else may answer', () => {
    const levels = (['monolith', 'sync', 'shadow', 'canary', 'reads', 'writes', 'complete'] as const).map(
      (stage) => away(stage)[0]?.level ?? 'none',
    );
    expect(levels).toEqual(['none', 'none', 'warn', 'warn', 'warn', 'bad', 'bad']);
  });

  test('whose circuit is open is not reached, however healthy its instances', () => {
    expect(away('reads', upstream('catalog', ['healthy'], 'open'))).toHaveLength(1);
    expect(away('reads', upstream('catalog', ['ejected', 'probing']))).toEqual([]);
  });

  test('is told of exactly when some worker reaches none of its instances, with how many do not', () => {
    const states = fc.constantFrom<InstanceState>('healthy', 'ejected', 'probing', 'critical', 'draining');
    fc.assert(
      fc.property(fc.array(fc.array(states, { maxLength: 3 }), { minLength: 1, maxLength: 5 }), (workers) => {
        const asked = [proxy(...workers.map((one) => [up, upstream('catalog', one)]))];
        const cannot = workers.filter((one) => !one.some((state) => state === 'healthy' || state === 'probing')).length;
        const [trouble] = told({ asked, slices: catalogAt('reads') });
        if (cannot === 0) expect(trouble).toBeUndefined();
        else
          expect(trouble?.text).toContain(cannot === workers.length ? 'No worker' : `${cannot} of ${workers.length}`);
      }),
    );
  });
});
