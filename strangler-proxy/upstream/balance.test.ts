import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Candidate, type ChoiceInput, chooseInstance, warmth } from './balance.ts';
import { dueForProbe, type EjectionState } from './ejection.ts';
import { servicePolicy } from './policy.ts';

const nowMs = 100_000;
const window = { half: 0, successes: 0, failures: 0, previousSuccesses: 0, previousFailures: 0 };

const health: fc.Arbitrary<EjectionState> = fc.oneof(
  fc.constant<EjectionState>({ kind: 'healthy', generation: 0, sinceMs: 0, failuresInARow: 0, window, ejections: 0 }),
  fc
    .integer({ min: nowMs - 5_000, max: nowMs + 5_000 })
    .map<EjectionState>((untilMs) => ({ kind: 'ejected', generation: 1, untilMs, ejections: 1 })),
  fc
    .integer({ min: nowMs - 20_000, max: nowMs })
    .map<EjectionState>((sinceMs) => ({ kind: 'probing', generation: 1, sinceMs, ejections: 1 })),
);

const candidates: fc.Arbitrary<Candidate[]> = fc.uniqueArray(
  fc.record({
    id: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
    outstanding: fc.nat(20),
    joinedMs: fc.integer({ min: nowMs - 20_000, max: nowMs }),
    health,
  }),
  { selector: ({ id }) => id, maxLength: 6 },
);

const input: fc.Arbitrary<ChoiceInput> = fc.record({
  exclude: fc.option(
    fc.subarray(['a', 'b', 'c', 'd', 'e', 'f']).map((ids) => new Set(ids)),
    { nil: undefined },
  ),
  repeatability: fc.constantFrom('repeatable', 'once'),
  nowMs: fc.constant(nowMs),
  policy: fc.record({
    ejection: fc.constant(servicePolicy.ejection),
    slowStartMs: fc.constantFrom(0, 10_000),
    lastInstance: fc.constantFrom('eject', 'keep'),
  }),
  random: fc
    .infiniteStream(fc.double({ min: 0, max: 0.9999999, noNaN: true }))
    .map((stream) => () => stream.next().value),
});

const isHealthy = ({ health: state }: Candidate) => state.kind === 'healthy';
const isDue = ({ health: state }: Candidate) => dueForProbe(state, nowMs, servicePolicy.ejection);

describe('the choice of an instance', () => {
  test('is never one that the request has tried, and names the reason when there is no other', () => {
    fc.assert(
      fc.property(candidates, input, (all, given) => {
        const choice = chooseInstance(all, given);
        const untried = all.filter(({ id }) => !given.exclude?.has(id));
        if (choice.kind === 'chosen') {
          expect(untried).toContain(choice.candidate);
        } else if (all.length === 0) {
          expect(choice.why).toBe('no-instances');
        } else if (untried.length === 0) {
          expect(choice.why).toBe('all-tried');
        } else {
          expect(choice.why).toBe('all-ejected');
          expect(given.policy.lastInstance).toBe('eject');
          expect(untried.some(isHealthy)).toBe(false);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  test('always finds one where an untried one is healthy or due for its probe', () => {
    fc.assert(
      fc.property(candidates, input, (all, given) => {
        const usable = all.filter((one) => !given.exclude?.has(one.id) && (isHealthy(one) || isDue(one)));
        if (usable.length > 0) expect(chooseInstance(all, given).kind).toBe('chosen');
      }),
      { numRuns: 5_000 },
    );
  });

  test('is never an ejected one before its time, unless the last instance is kept and none is healthy', () => {
    fc.assert(
      fc.property(candidates, input, (all, given) => {
        const choice = chooseInstance(all, given);
        if (choice.kind !== 'chosen' || isHealthy(choice.candidate) || isDue(choice.candidate)) return;
        expect(given.policy.lastInstance).toBe('keep');
        expect(all.filter((one) => !given.exclude?.has(one.id)).some(isHealthy)).toBe(false);
      }),
      { numRuns: 5_000 },
    );
  });

  test('spares a request that cannot be repeated the probe while one is healthy', () => {
    fc.assert(
      fc.property(candidates, input, (all, given) => {
        const choice = chooseInstance(all, { ...given, repeatability: 'once' });
        const healthy = all.filter((one) => !given.exclude?.has(one.id) && isHealthy(one));
        if (healthy.length > 0)
          expect(choice).toMatchObject({ kind: 'chosen', candidate: { health: { kind: 'healthy' } } });
      }),
      { numRuns: 2_000 },
    );
  });

  test('is the less loaded where there are two, whatever the dice say', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.nat(50), input, (one, other, given) => {
        fc.pre(one !== other);
        const two = [candidate('a', one), candidate('b', other)];
        const choice = chooseInstance(two, {
          ...given,
          exclude: undefined,
          policy: { ...given.policy, slowStartMs: 0 },
        });
        expect(choice).toMatchObject({ kind: 'chosen', candidate: { outstanding: Math.min(one, other) } });
      }),
    );
  });

  test('is never the single most loaded of three or more', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(10), { minLength: 2, maxLength: 9 }), input, (loads, given) => {
        const all = [...loads.map((load, at) => candidate(`n${at}`, load)), candidate('hot', 11)];
        const choice = chooseInstance(all, { ...given, policy: { ...given.policy, slowStartMs: 0 } });
        if (choice.kind === 'chosen') expect(choice.candidate.id).not.toBe('hot');
      }),
    );
  });
});

test('idle instances share requests evenly: with ten of them, none gets twice its share', () => {
  const all = Array.from({ length: 10 }, (_, at) => candidate(`n${at}`, 0));
  const counts = new Map<string, number>();
  let seed = 42;
  const random = () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  for (let i = 0; i < 10_000; i += 1) {
    const choice = chooseInstance(all, {
      exclude: undefined,
      repeatability: 'repeatable',
      nowMs,
      policy: servicePolicy,
      random,
    });
    if (choice.kind === 'chosen') counts.set(choice.candidate.id, (counts.get(choice.candidate.id) ?? 0) + 1);
  }
  expect(counts.size).toBe(10);
  expect(Math.max(...counts.values())).toBeLessThan(2_000);
  expect(Math.min(...counts.values())).toBeGreaterThan(500);
});

test('a new instance warms up steadily, from a tenth of its turns to all of them', () => {
  fc.assert(
    fc.property(fc.nat(20_000), fc.nat(5_000), (ageMs, moreMs) => {
      const now = warmth(0, ageMs, 10_000);
      expect(now).toBeGreaterThanOrEqual(0.1);
      expect(now).toBeLessThanOrEqual(1);
      expect(warmth(0, ageMs + moreMs, 10_000)).toBeGreaterThanOrEqual(now);
      if (ageMs >= 10_000) expect(now).toBe(1);
    }),
  );
  expect(warmth(0, 0, 0)).toBe(1);
});

function candidate(id: string, outstanding: number): Candidate {
  const state: EjectionState = { kind: 'healthy', generation: 0, sinceMs: 0, failuresInARow: 0, window, ejections: 0 };
  return { id, outstanding, joinedMs: 0, health: state };
}
