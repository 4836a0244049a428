import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { admits, type BreakerState, closedBreaker, passBreaker, settleBreaker } from './breaker.ts';
import { type BreakerPolicy, monolithPolicy, servicePolicy } from './policy.ts';

const policy: BreakerPolicy = { ...servicePolicy.breaker, trials: 2, successesToClose: 2 };
type Verdict = 'success' | 'failure' | 'neutral';

function settle(state: BreakerState, verdict: Verdict, nowMs: number, by = policy): BreakerState {
  return settleBreaker(state, { generation: state.generation, verdict }, nowMs, by);
}

function opened(nowMs: number, by = policy): BreakerState & { kind: 'open' } {
  let state = closedBreaker(nowMs, by);
  for (let i = 0; i < by.minimumVolume; i += 1) state = settle(state, 'failure', nowMs, by);
  if (state.kind !== 'open') throw new Error(`expected an open circuit, found ${state.kind}`);
  return state;
}

describe('a closed circuit', () => {
  test('stays closed below the minimum volume, though every attempt fails', () => {
    let state = closedBreaker(0, policy);
    for (let i = 1; i < policy.minimumVolume; i += 1) state = settle(state, 'failure', 0);
    expect(state.kind).toBe('closed');
    expect(settle(state, 'failure', 0).kind).toBe('open');
  });

  test('opens exactly when enough attempts lie in the window and too many of them failed', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 80 }), (failures) => {
        let state = closedBreaker(0, policy);
        let total = 0;
        let failed = 0;
        for (const failure of failures) {
          state = settle(state, failure ? 'failure' : 'success', 0);
          total += 1;
          if (failure) failed += 1;
          const shouldOpen = failure && total >= policy.minimumVolume && failed >= total * policy.failureShare;
          expect(state.kind).toBe(shouldOpen ? 'open' : 'closed');
          if (shouldOpen) return;
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('before the monolith stays closed while it answers one attempt in five', () => {
    let state = closedBreaker(0, monolithPolicy.breaker);
    for (let i = 0; i < 1_000; i += 1)
      state = settle(state, i % 5 === 0 ? 'success' : 'failure', i, monolithPolicy.breaker);
    expect(state.kind).toBe('closed');
  });
});

describe('an open circuit', () => {
  test('admits nothing before its time, and then a few trials', () => {
    const state = opened(0);
    expect(admits(state, state.untilMs - 1, policy)).toBe(false);
    let current: BreakerState = state;
    for (let i = 0; i < policy.trials; i += 1) {
      expect(admits(current, state.untilMs, policy)).toBe(true);
      current = passBreaker(current, state.untilMs);
    }
    expect(admits(current, state.untilMs, policy)).toBe(false);
  });

  test('closes after enough trials went well, and opens for longer when one fails', () => {
    const state = opened(0);
    const trial = passBreaker(passBreaker(state, state.untilMs), state.untilMs);
    expect(settle(settle(trial, 'success', 0), 'success', 0).kind).toBe('closed');
    const again = settle(settle(trial, 'success', state.untilMs), 'failure', state.untilMs);
    expect(again).toMatchObject({ kind: 'open', openings: 2, untilMs: state.untilMs + 2 * policy.openMs });
  });

  test('neither closes nor opens by clients that go away, and gives their places to other trials', () => {
    const state = opened(0);
    let current = passBreaker(state, state.untilMs);
    for (let i = 0; i < 50; i += 1) {
      current = settle(current, 'neutral', state.untilMs);
      expect(current).toMatchObject({ kind: 'half-open', trials: 0, successes: 0 });
      current = passBreaker(current, state.untilMs);
    }
  });

  test('is not closed by requests that set out before it opened', () => {
    const before = closedBreaker(0, policy);
    const state = opened(0);
    const trial = passBreaker(state, state.untilMs);
    for (const current of [state, trial]) {
      expect(settleBreaker(current, { generation: before.generation, verdict: 'success' }, 0, policy)).toBe(current);
    }
  });

  test('admits another trial when those under way have not ended for long, as streams do not', () => {
    const state = opened(0);
    let current = passBreaker(state, state.untilMs);
    current = passBreaker(current, state.untilMs);
    expect(admits(current, state.untilMs + policy.trialPatienceMs, policy)).toBe(true);
  });
});

test('through any history the circuit admits nothing while open, and never more trials at once than allowed', () => {
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 700 }),
    verdict: fc.constantFrom<Verdict>('success', 'failure', 'failure', 'neutral'),
    endsAfter: fc.integer({ min: 0, max: 4 }),
  });
  // Streams are left out here, so patience is endless and the bound on trials is strict.
  const strict: BreakerPolicy = { ...policy, minimumVolume: 3, trialPatienceMs: Number.POSITIVE_INFINITY };
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      let state = closedBreaker(0, strict);
      let nowMs = 0;
      let out: { generation: number; verdict: Verdict; left: number }[] = [];
      for (const { waitMs, verdict, endsAfter } of steps) {
        nowMs += waitMs;
        if (admits(state, nowMs, strict)) {
          if (state.kind === 'open') expect(nowMs).toBeGreaterThanOrEqual(state.untilMs);
          state = passBreaker(state, nowMs);
          expect(state.kind).not.toBe('open');
          out.push({ generation: state.generation, verdict, left: endsAfter });
        } else {
          expect(state.kind).not.toBe('closed');
        }
        for (const ended of out.filter(({ left }) => left === 0)) state = settleBreaker(state, ended, nowMs, strict);
        out = out.filter(({ left }) => left > 0).map((trial) => ({ ...trial, left: trial.left - 1 }));
        if (state.kind === 'half-open') {
          const { generation } = state;
          expect(state.trials).toBe(out.filter((trial) => trial.generation === generation).length);
          expect(state.trials).toBeLessThanOrEqual(strict.trials);
        }
      }
    }),
    { numRuns: 2_000 },
  );
});
