import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { monolithPolicy, servicePolicy, type UpstreamPolicy } from './policy.ts';
import { createPool, type Pool, type PooledInstance } from './pool.ts';
import type { Lease, Outcome, Refusal, UpstreamEvent } from './upstream.ts';

const ok: Outcome = { kind: 'answered', status: 200, latencyMs: 5 };
const aborted: Outcome = { kind: 'client-aborted', latencyMs: 1 };
const refusedConnection: Outcome = { kind: 'failed', cause: 'connect', latencyMs: 1 };

let clockMs = 0;
let events: UpstreamEvent[] = [];

beforeEach(() => {
  clockMs = 0;
  events = [];
});

function pool(policy: UpstreamPolicy, ids: string[] = ['a', 'b'], random = () => 0): Pool {
  const made = createPool({
    name: 'catalog',
    side: 'service',
    policy,
    onEvent: (event) => events.push(event),
    nowMs: () => clockMs,
    random,
  });
  made.setInstances(ids.map((id) => instance(id)));
  events.length = 0;
  return made;
}

function instance(id: string, { port = 80, passing = true } = {}): PooledInstance {
  return { id, origin: `http://127.0.0.1:${port}`, passing };
}

function leased(result: Lease | Refusal): Lease {
  if (result.kind === 'refused') throw new Error(`expected a lease, was refused: ${result.why}`);
  return result;
}

function eject(from: Pool, id: string, others: string[]): void {
  for (let i = 0; i < servicePolicy.ejection.consecutiveFailures; i += 1) {
    const lease = leased(from.acquire(new Set(others)));
    expect(lease.instance.id).toBe(id);
    lease.release(refusedConnection);
  }
}

const stateOf = (from: Pool, id: string) => from.status().instances.find((one) => one.id === id)?.state;
const kinds = () => events.map(({ kind }) => kind);

describe('a lease', () => {
  test('released twice counts once, and is reported', () => {
    const made = pool(servicePolicy);
    const lease = leased(made.acquire());
    leased(made.acquire());
    lease.release(ok);
    lease.release(ok);
    expect(made.status().inFlight).toBe(1);
    expect(events).toEqual([{ kind: 'released-twice', upstream: 'catalog', instance: lease.instance.id }]);
  });

  test('beyond the bulkhead is refused until another has been released', () => {
    const made = pool({ ...servicePolicy, maxConcurrent: 2 });
    const first = leased(made.acquire());
    leased(made.acquire());
    expect(made.acquire()).toEqual({ kind: 'refused', why: 'bulkhead-full' });
    expect(events).toEqual([{ kind: 'refused', upstream: 'catalog', why: 'bulkhead-full' }]);
    first.release(ok);
    leased(made.acquire());
  });

  test('names the instance, its origin and its side', () => {
    expect(leased(pool(servicePolicy, ['a']).acquire()).instance).toEqual({
      id: 'a',
      side: 'service',
      service: 'catalog',
      origin: 'http://127.0.0.1:80',
    });
  });
});

describe('an instance that fails', () => {
  test('is ejected, said why, not lent in its time, then lent to one request and back when that went well', () => {
    const made = pool(servicePolicy);
    eject(made, 'a', ['b']);
    expect(events).toEqual([{ kind: 'ejected', upstream: 'catalog', instance: 'a', forMs: 1_000, cause: 'connect' }]);
    clockMs = 999;
    for (let i = 0; i < 20; i += 1) expect(leased(made.acquire()).instance.id).toBe('b');
    clockMs = 1_000;
    const probe = leased(made.acquire());
    expect(probe.instance.id).toBe('a');
    expect(stateOf(made, 'a')).toBe('probing');
    for (let i = 0; i < 20; i += 1) expect(leased(made.acquire()).instance.id).toBe('b');
    probe.release(ok);
    expect(stateOf(made, 'a')).toBe('healthy');
    expect(kinds()).toEqual(['ejected', 'returned']);
  });

  test.each([502, 503, 504])(
    'with a %i three times is ejected: the instance itself says that it cannot serve',
    (status) => {
      const made = pool(servicePolicy, ['a']);
      for (let i = 0; i < 3; i += 1) leased(made.acquire()).release({ kind: 'answered', status, latencyMs: 1 });
      expect(stateOf(made, 'a')).toBe('ejected');
      expect(events[0]).toMatchObject({ cause: `status-${status}` });
    },
  );

  test.each([400, 404, 409, 429, 500, 501])('with a %i is not: that is the application’s answer', (status) => {
    const made = pool(servicePolicy, ['a']);
    for (let i = 0; i < 100; i += 1) leased(made.acquire()).release({ kind: 'answered', status, latencyMs: 1 });
    expect(stateOf(made, 'a')).toBe('healthy');
    expect(made.status().circuit).toBe('closed');
  });

  test('is ejected once by all the requests that were under way when it died', () => {
    const made = pool(servicePolicy, ['a']);
    const leases = Array.from({ length: 15 }, () => leased(made.acquire()));
    for (const lease of leases) lease.release({ kind: 'failed', cause: 'reset', latencyMs: 1 });
    expect(kinds()).toEqual(['ejected']);
    expect(made.acquire()).toEqual({ kind: 'refused', why: 'all-ejected' });
  });

  test('does not take a write for its probe while another is healthy', () => {
    const made = pool(servicePolicy);
    eject(made, 'a', ['b']);
    clockMs = 5_000;
    expect(leased(made.acquire(undefined, 'once')).instance.id).toBe('b');
    expect(leased(made.acquire(undefined, 'repeatable')).instance.id).toBe('a');
  });
});

describe('clients that go away', () => {
  test('eject nothing, open nothing and return nothing', () => {
    const made = pool(servicePolicy, ['a']);
    for (let i = 0; i < 200; i += 1) leased(made.acquire()).release(aborted);
    expect(kinds()).toEqual([]);
    eject(made, 'a', []);
    clockMs = 5_000;
    leased(made.acquire()).release(aborted);
    expect(stateOf(made, 'a')).toBe('ejected');
    expect(kinds()).toEqual(['ejected']);
  });
});

describe('discovery', () => {
  test('takes an instance out of the choice and lets it finish what it was sent', () => {
    const made = pool(servicePolicy, ['a']);
    const lease = leased(made.acquire());
    made.setInstances([instance('b')]);
    expect(stateOf(made, 'a')).toBe('draining');
    for (let i = 0; i < 5; i += 1) expect(leased(made.acquire()).instance.id).toBe('b');
    lease.release(ok);
    expect(stateOf(made, 'a')).toBeUndefined();
    expect(kinds()).toEqual(['joined', 'left']);
    expect(made.status().inFlight).toBe(5);
  });

  test('that brings an instance back brings it back healthy, and late failures of its former self do not count', () => {
    const made = pool(servicePolicy, ['a']);
    const late = Array.from({ length: 5 }, () => leased(made.acquire()));
    eject(made, 'a', []);
    made.setInstances([]);
    made.setInstances([instance('a')]);
    for (const lease of late) lease.release({ kind: 'failed', cause: 'reset', latencyMs: 1 });
    expect(made.status().instances).toMatchObject([{ id: 'a', state: 'healthy', failures: 0, outstanding: 0 }]);
  });

  test('that moves an instance to another origin drains the old one', () => {
    const made = pool(servicePolicy, ['a']);
    const before = leased(made.acquire());
    made.setInstances([instance('a', { port: 81 })]);
    expect(before.instance.origin).toBe('http://127.0.0.1:80');
    expect(leased(made.acquire()).instance.origin).toBe('http://127.0.0.1:81');
  });

  test('that says the same again changes nothing', () => {
    const made = pool(servicePolicy, ['a', 'b']);
    eject(made, 'a', ['b']);
    events.length = 0;
    made.setInstances([instance('b'), instance('a')]);
    expect(kinds()).toEqual([]);
    expect(stateOf(made, 'a')).toBe('ejected');
  });

  test('that knows no instance makes the pool refuse, saying so', () => {
    expect(pool(servicePolicy, []).acquire()).toEqual({ kind: 'refused', why: 'no-instances' });
    expect(pool(servicePolicy, ['a']).acquire(new Set(['a']))).toEqual({ kind: 'refused', why: 'all-tried' });
  });
});

describe('instances whose checks fail', () => {
  const critical = (id: string) => instance(id, { passing: false });
  const anyInstance = (made: Pool) => made.acquire(undefined, 'once', 'any');

  test('are lent where no other is left, and only to those who have nobody else to ask', () => {
    const made = pool(servicePolicy, []);
    made.setInstances([critical('a')]);
    expect(made.acquire()).toEqual({ kind: 'refused', why: 'no-instances' });
    expect(leased(anyInstance(made)).instance.id).toBe('a');
    expect(kinds()).toEqual(['refused', 'lent-critical']);
    expect(stateOf(made, 'a')).toBe('critical');
    made.setInstances([critical('a'), instance('b')]);
    for (let i = 0; i < 5; i += 1) expect(leased(anyInstance(made)).instance.id).toBe('b');
  });

  test('are left out for their failures like any other', () => {
    const made = pool(servicePolicy, []);
    made.setInstances([critical('a')]);
    for (let i = 0; i < servicePolicy.ejection.consecutiveFailures; i += 1)
      leased(anyInstance(made)).release(refusedConnection);
    expect(stateOf(made, 'a')).toBe('ejected');
    expect(anyInstance(made)).toEqual({ kind: 'refused', why: 'all-ejected' });
  });

  test('join when their checks pass, finish what they were sent before, and leave when they fail', () => {
    const made = pool(servicePolicy, []);
    made.setInstances([critical('a')]);
    const before = leased(anyInstance(made));
    made.setInstances([instance('a')]);
    leased(made.acquire()).release(ok);
    before.release(ok);
    made.setInstances([critical('a')]);
    made.setInstances([]);
    expect(kinds()).toEqual(['lent-critical', 'joined', 'left']);
    expect(made.status()).toMatchObject({ inFlight: 0, instances: [] });
  });
});

describe('the circuit', () => {
  const brittle: UpstreamPolicy = {
    ...servicePolicy,
    ejection: { ...servicePolicy.ejection, consecutiveFailures: 1_000, minimumVolume: 1_000 },
    breaker: { ...servicePolicy.breaker, successesToClose: 1 },
  };

  test('opens when most attempts fail, turns half-open with one trial, and closes when that went well', () => {
    const made = pool(brittle);
    for (let i = 0; i < brittle.breaker.minimumVolume; i += 1) leased(made.acquire()).release(refusedConnection);
    expect(made.acquire()).toEqual({ kind: 'refused', why: 'circuit-open' });
    clockMs = 1_000;
    const trial = leased(made.acquire());
    expect(made.acquire()).toEqual({ kind: 'refused', why: 'circuit-open' });
    trial.release(ok);
    leased(made.acquire());
    expect(kinds()).toEqual(['opened', 'refused', 'half-opened', 'refused', 'closed']);
  });

  test('loses no trial to a refusal for another reason', () => {
    const made = pool({ ...brittle, maxConcurrent: 1 });
    for (let i = 0; i < brittle.breaker.minimumVolume; i += 1) leased(made.acquire()).release(refusedConnection);
    clockMs = 1_000;
    expect(made.acquire(new Set(['a', 'b']))).toEqual({ kind: 'refused', why: 'all-tried' });
    leased(made.acquire()).release(ok);
    expect(made.status().circuit).toBe('closed');
  });
});

describe('the monolith', () => {
  test('with one instance is never ejected, and a few errors do not open its circuit', () => {
    const made = pool(monolithPolicy, ['only']);
    for (let i = 1; i < monolithPolicy.breaker.minimumVolume; i += 1) leased(made.acquire()).release(refusedConnection);
    expect(made.status()).toMatchObject({ circuit: 'closed', instances: [{ state: 'healthy' }] });
  });

  test('that was down is tried again within a quarter of a second, by several requests', () => {
    const made = pool(monolithPolicy, ['only']);
    for (let i = 0; i < monolithPolicy.breaker.minimumVolume; i += 1) leased(made.acquire()).release(refusedConnection);
    expect(made.acquire()).toEqual({ kind: 'refused', why: 'circuit-open' });
    clockMs = 250;
    const trials = [leased(made.acquire()), leased(made.acquire())];
    for (const trial of trials) trial.release(ok);
    expect(made.status().circuit).toBe('closed');
  });

  test('with several instances loses those that fail, but the last one stays', () => {
    const made = pool(monolithPolicy, ['a', 'b']);
    eject(made, 'a', ['b']);
    expect(stateOf(made, 'a')).toBe('ejected');
    eject(made, 'b', ['a']);
    expect(stateOf(made, 'b')).toBe('healthy');
    expect(leased(made.acquire(new Set(['b']))).instance.id).toBe('a');
  });
});

test('a closed pool lends nothing, and what it lent before can still be released', () => {
  const made = pool(servicePolicy);
  const lease = leased(made.acquire());
  made.close();
  expect(made.acquire()).toEqual({ kind: 'refused', why: 'no-instances' });
  lease.release(ok);
  expect(made.status()).toMatchObject({ inFlight: 0, instances: [] });
});

test('the mean latency follows the answers and not the failures', () => {
  const made = pool(servicePolicy, ['a']);
  expect(made.status().instances[0]?.latencyEwmaMs).toBeNull();
  leased(made.acquire()).release({ kind: 'answered', status: 200, latencyMs: 10 });
  leased(made.acquire()).release({ kind: 'failed', cause: 'timeout', latencyMs: 30_000 });
  leased(made.acquire()).release({ kind: 'answered', status: 500, latencyMs: 20 });
  expect(made.status().instances[0]?.latencyEwmaMs).toBeCloseTo(12);
});

const outcome: fc.Arbitrary<Outcome> = fc.oneof(
  fc.constantFrom(200, 404, 500, 503).map<Outcome>((status) => ({ kind: 'answered', status, latencyMs: 1 })),
  fc.constantFrom<Outcome>(refusedConnection, aborted),
);
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('acquire' as const),
      exclude: fc.subarray(['a', 'b', 'c']),
      resort: fc.constantFrom('passing' as const, 'any' as const),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('release' as const), at: fc.nat(50), outcome }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('release twice' as const), at: fc.nat(50) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('discover' as const),
      ids: fc.subarray(['a', 'b', 'c', 'd']),
      failing: fc.oneof(
        { weight: 2, arbitrary: fc.constant<string[]>([]) },
        { weight: 1, arbitrary: fc.subarray(['a', 'b', 'c', 'd']) },
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(2_500) }) },
);

test('through any history the loans that are out are what is outstanding, by instance and in all, within the bound', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 120 }),
      fc.constantFrom(servicePolicy, monolithPolicy),
      fc.integer({ min: 1, max: 12 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      (steps, base, maxConcurrent, dice) => {
        clockMs = 0;
        const made = pool({ ...base, maxConcurrent }, ['a', 'b'], () => dice.next().value);
        let discovered = ['a', 'b'];
        let passing = discovered;
        let out: Lease[] = [];
        const ended: Lease[] = [];
        for (const now of steps) {
          if (now.do === 'acquire') {
            const ejected = made.status().instances.filter(({ state }) => state === 'ejected');
            const result = made.acquire(new Set(now.exclude), 'repeatable', now.resort);
            if (result.kind === 'leased') {
              const { id } = result.instance;
              expect(now.exclude).not.toContain(id);
              expect(passing.length === 0 && now.resort === 'any' ? discovered : passing).toContain(id);
              const was = ejected.find((one) => one.id === id);
              if (was && base.lastInstance === 'eject') expect(stateOf(made, id)).toBe('probing');
              out.push(result);
            }
          } else if (now.do === 'release' && out.length > 0) {
            const lease = out[now.at % out.length]!;
            lease.release(now.outcome);
            out = out.filter((other) => other !== lease);
            ended.push(lease);
          } else if (now.do === 'release twice' && ended.length > 0) {
            ended[now.at % ended.length]!.release(ok);
          } else if (now.do === 'discover') {
            discovered = now.ids;
            passing = discovered.filter((id) => !now.failing.includes(id));
            made.setInstances(discovered.map((id) => instance(id, { passing: passing.includes(id) })));
          } else if (now.do === 'wait') {
            clockMs += now.ms;
          }

          const status = made.status();
          expect(status.inFlight).toBe(out.length);
          expect(status.inFlight).toBeLessThanOrEqual(maxConcurrent);
          expect(status.instances.reduce((sum, one) => sum + one.outstanding, 0)).toBe(out.length);
          for (const one of status.instances) expect(one.outstanding).toBeGreaterThanOrEqual(0);
          const live = status.instances.filter(({ state }) => state !== 'draining');
          expect(live.map(({ id }) => id).sort()).toEqual([...discovered].sort());
          if (
            base.lastInstance === 'keep' &&
            ended.length + out.length > 0 &&
            live.length === 1 &&
            passing.length === 1
          ) {
            // Whatever its state, the only one can be had unless a bound on all of them says no.
            const last = made.acquire();
            if (last.kind === 'leased') {
              out.push(last);
            } else {
              expect(['bulkhead-full', 'circuit-open']).toContain(last.why);
            }
          }
        }
      },
    ),
    { numRuns: 1_500 },
  );
});
