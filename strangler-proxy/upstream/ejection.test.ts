import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { advanceEjection, dueForProbe, type EjectionState, newlyHealthy } from './ejection.ts';
import { type EjectionPolicy, servicePolicy } from './policy.ts';

const policy: EjectionPolicy = servicePolicy.ejection;
const unit = fc.double({ min: 0, max: 0.999, noNaN: true });

type Verdict = 'success' | 'failure' | 'neutral';

function end(
  state: EjectionState,
  verdict: Verdict,
  nowMs: number,
  more: { mayEject?: boolean; jitter?: number } = {},
) {
  const { mayEject = true, jitter = 0 } = more;
  return advanceEjection(
    state,
    { kind: 'ended', generation: state.generation, verdict, mayEject, jitter },
    nowMs,
    policy,
  );
}

function failUntilEjected(state: EjectionState, nowMs: number): EjectionState & { kind: 'ejected' } {
  let current = state;
  for (let i = 0; i < policy.consecutiveFailures && current.kind === 'healthy'; i += 1) {
    current = end(current, 'failure', nowMs);
  }
  if (current.kind !== 'ejected') throw new Error(`expected an ejected instance, found ${current.kind}`);
  return current;
}

describe('a healthy instance', () => {
  test('is ejected by failures in a row, and a success between them starts the count anew', () => {
    let state = newlyHealthy(0, policy);
    for (const verdict of ['failure', 'failure', 'success', 'failure', 'failure'] as const) {
      state = end(state, verdict, 0);
      expect(state.kind).toBe('healthy');
    }
    expect(end(state, 'failure', 0).kind).toBe('ejected');
  });

  test('is ejected when half of many attempts fail, though never two in a row', () => {
    let state = newlyHealthy(0, policy);
    for (let i = 1; i < policy.minimumVolume; i += 1) state = end(state, i % 2 === 0 ? 'failure' : 'success', 0);
    expect(state.kind).toBe('healthy');
    expect(end(state, 'failure', 0).kind).toBe('ejected');
  });

  test('is not ejected by any number of clients that go away', () => {
    const start = newlyHealthy(0, policy);
    let state = start;
    for (let i = 0; i < 100; i += 1) state = end(state, 'neutral', i);
    expect(state).toEqual(start);
  });

  test('is kept, however often it fails, where nothing else would be left', () => {
    let state = newlyHealthy(0, policy);
    for (let i = 0; i < 100; i += 1) state = end(state, 'failure', i, { mayEject: false });
    expect(state.kind).toBe('healthy');
    expect(end(state, 'failure', 100).kind).toBe('ejected');
  });
});

describe('an ejected instance', () => {
  test('is left out no longer than the cap, and no shorter than its length less the jitter', () => {
    fc.assert(
      fc.property(fc.array(unit, { minLength: 1, maxLength: 60 }), (jitters) => {
        let state: EjectionState = failUntilEjected(newlyHealthy(0, policy), 0);
        let nth = 1;
        for (const jitter of jitters) {
          if (state.kind !== 'ejected') throw new Error('lost the ejection');
          const nowMs: number = state.untilMs;
          state = end(advanceEjection(state, { kind: 'lent' }, nowMs, policy), 'failure', nowMs, { jitter });
          nth += 1;
          if (state.kind !== 'ejected') throw new Error('a failed probe must eject again');
          const lengthMs = state.untilMs - nowMs;
          const fullMs = Math.min(policy.baseMs * nth, policy.maxMs);
          expect(lengthMs).toBeLessThanOrEqual(fullMs + 1e-6);
          expect(lengthMs).toBeGreaterThanOrEqual(fullMs * (1 - policy.jitterShare) - 1e-6);
        }
      }),
    );
  });

  test('comes back when its probe goes well, and is ejected for longer if it soon fails again', () => {
    const first = failUntilEjected(newlyHealthy(0, policy), 0);
    const back = end(advanceEjection(first, { kind: 'lent' }, first.untilMs, policy), 'success', first.untilMs);
    expect(back.kind).toBe('healthy');
    const second = failUntilEjected(back, first.untilMs);
    expect(second.untilMs - first.untilMs).toBe(2 * policy.baseMs);
  });

  test('is forgiven its past once it has been healthy for long enough', () => {
    const first = failUntilEjected(newlyHealthy(0, policy), 0);
    const back = end(advanceEjection(first, { kind: 'lent' }, first.untilMs, policy), 'success', first.untilMs);
    const laterMs = first.untilMs + policy.forgiveAfterMs;
    expect(failUntilEjected(back, laterMs).untilMs - laterMs).toBe(policy.baseMs);
  });

  test('may be probed again at once when the client of its probe went away', () => {
    const state = failUntilEjected(newlyHealthy(0, policy), 0);
    const probing = advanceEjection(state, { kind: 'lent' }, state.untilMs, policy);
    expect(dueForProbe(end(probing, 'neutral', state.untilMs + 5), state.untilMs + 5, policy)).toBe(true);
  });

  test('may be probed again when its probe has not ended for long, as a stream does not', () => {
    const state = failUntilEjected(newlyHealthy(0, policy), 0);
    const probing = advanceEjection(state, { kind: 'lent' }, state.untilMs, policy);
    expect(dueForProbe(probing, state.untilMs + policy.probePatienceMs - 1, policy)).toBe(false);
    expect(dueForProbe(probing, state.untilMs + policy.probePatienceMs, policy)).toBe(true);
  });

  test('that is probed again hears of the second probe alone', () => {
    const state = failUntilEjected(newlyHealthy(0, policy), 0);
    const first = advanceEjection(state, { kind: 'lent' }, state.untilMs, policy);
    const againMs = state.untilMs + policy.probePatienceMs;
    const second = advanceEjection(first, { kind: 'lent' }, againMs, policy);
    for (const verdict of ['success', 'failure', 'neutral'] as const) {
      const late = { kind: 'ended', generation: first.generation, verdict, mayEject: true, jitter: 0 } as const;
      expect(advanceEjection(second, late, againMs + 5, policy)).toEqual(second);
    }
    expect(end(second, 'success', againMs + 5).kind).toBe('healthy');
  });
});

test('verdicts on requests lent before the last change of state are not heard', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom<Verdict>('success', 'failure', 'neutral'), { maxLength: 30 }),
      fc.boolean(),
      (late, probing) => {
        const healthy = newlyHealthy(0, policy);
        const ejected = failUntilEjected(healthy, 0);
        const state = probing ? advanceEjection(ejected, { kind: 'lent' }, ejected.untilMs, policy) : ejected;
        let after: EjectionState = state;
        for (const verdict of late) {
          const event = { kind: 'ended', generation: healthy.generation, verdict, mayEject: true, jitter: 0 } as const;
          after = advanceEjection(after, event, ejected.untilMs, policy);
        }
        expect(after).toEqual(state);
      },
    ),
  );
});

test('through any history no probe begins before its time, nor beside one that is still given time', () => {
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 4_000 }),
    // A request is lent when the state allows it, and ends with this verdict after so many further steps.
    verdict: fc.constantFrom<Verdict>('success', 'failure', 'failure', 'neutral'),
    endsAfter: fc.integer({ min: 0, max: 5 }),
    jitter: unit,
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let state = newlyHealthy(0, policy);
      let nowMs = 0;
      let lastProbeMs = Number.NEGATIVE_INFINITY;
      let out: { generation: number; verdict: Verdict; left: number; jitter: number; probe: boolean }[] = [];
      for (const { waitMs, verdict, endsAfter, jitter } of steps) {
        nowMs += waitMs;
        const due = dueForProbe(state, nowMs, policy);
        if (state.kind === 'healthy' || due) {
          if (state.kind === 'ejected') expect(nowMs).toBeGreaterThanOrEqual(state.untilMs);
          if (due && out.some((loan) => loan.probe && loan.generation === state.generation)) {
            expect(nowMs - lastProbeMs).toBeGreaterThanOrEqual(policy.probePatienceMs);
          }
          if (due) lastProbeMs = nowMs;
          state = advanceEjection(state, { kind: 'lent' }, nowMs, policy);
          if (due) expect(state.kind).toBe('probing');
          out.push({ generation: state.generation, verdict, left: endsAfter, jitter, probe: due });
        }
        for (const loan of out.filter(({ left }) => left === 0)) {
          const before = state.generation;
          state = advanceEjection(state, { kind: 'ended', mayEject: true, ...loan }, nowMs, policy);
          expect(state.generation - before).toBeGreaterThanOrEqual(0);
        }
        out = out.filter(({ left }) => left > 0).map((loan) => ({ ...loan, left: loan.left - 1 }));
      }
    }),
    { numRuns: 2_000 },
  );
});
