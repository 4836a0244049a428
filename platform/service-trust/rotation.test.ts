import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type KeyRing, makePrivateKey, type PrivateKey, publishedKeyOf } from './key-ring.ts';
import { type KeyState, retire, rotate } from './rotation.ts';

const startMs = Date.UTC(2026, 0, 1);
const settleMs = 30_000;
const tokenLifeMs = 65_000;
const pool: PrivateKey[] = [];

beforeAll(async () => {
  for (let n = 0; n < 12; n += 1) pool.push(await makePrivateKey(new Date(startMs)));
});

const firstState = (): KeyState => {
  const [signing] = pool as [PrivateKey];
  const ring: KeyRing = { version: 1, service: 'shop', signing };
  return { ring, trusted: { audiences: ['catalog'], keys: [publishedKeyOf(signing, new Date(startMs))] } };
};

type Act = { act: 'rotate' | 'retire'; afterMs: number; crash: boolean };

/** Gives the commands that the files ask for until there is none left, with all the time there is. */
function finish(from: KeyState, fromMs: number): string {
  let state = from;
  for (let n = 1; n <= 4; n += 1) {
    const times = { now: new Date(fromMs + n * 1_000_000), settleMs, tokenLifeMs };
    const { previous, next } = state.ring;
    if (previous === undefined && next === undefined) break;
    const outcome = previous === undefined ? rotate(state, pool.at(-1) as PrivateKey, times) : retire(state, times);
    if (outcome.kind === 'refused') return outcome.reason;
    state = outcome.state;
  }
  const published = state.trusted.keys.map(({ kid }) => kid);
  return published.join() === state.ring.signing.kid ? 'one key, which signs' : `published: ${published.join()}`;
}

describe('a rotation', () => {
  test('takes three steps, and says how long the next one must wait', () => {
    let state = firstState();
    const [old, fresh, spare] = pool as [PrivateKey, PrivateKey, PrivateKey];
    const at = (ms: number) => ({ now: new Date(startMs + ms), settleMs, tokenLifeMs });
    const done = (outcome: ReturnType<typeof rotate>) => {
      if (outcome.kind === 'refused') throw new Error(outcome.reason);
      state = outcome.state;
      return [outcome.step, outcome.kid];
    };
    expect(retire(state, at(0))).toMatchObject({ kind: 'refused', waitMs: 0 });
    expect(done(rotate(state, fresh, at(0)))).toEqual(['published', fresh.kid]);
    expect(state.ring.signing.kid).toBe(old.kid);
    expect(rotate(state, spare, at(10_000))).toMatchObject({ kind: 'refused', waitMs: 20_000 });
    expect(done(rotate(state, spare, at(30_000)))).toEqual(['signing', fresh.kid]);
    expect(state.trusted.keys.map(({ kid }) => kid)).toEqual([old.kid, fresh.kid]);
    expect(rotate(state, spare, at(900_000))).toMatchObject({ kind: 'refused', waitMs: 0 });
    expect(retire(state, at(31_000))).toMatchObject({ kind: 'refused', waitMs: 94_000 });
    expect(done(retire(state, at(125_000)))).toEqual(['retired', old.kid]);
    expect(state.trusted.keys.map(({ kid }) => kid)).toEqual([fresh.kid]);
    expect(state.ring).toEqual({ version: 1, service: 'shop', signing: fresh });
  });

  test('never makes a token that a process refuses, whenever steps are done, repeated, or cut in half', () => {
    const acts: fc.Arbitrary<Act[]> = fc.array(
      fc.record({
        act: fc.constantFrom('rotate' as const, 'retire' as const),
        afterMs: fc.integer({ min: 0, max: 120_000 }),
        crash: fc.boolean(),
      }),
      { maxLength: 11 },
    );
    fc.assert(
      fc.property(acts, fc.integer({ min: 0, max: settleMs }), fc.integer({ min: 0, max: settleMs }), (steps, a, b) => {
        // What the files held, and since when: signers see them `a` later, verifiers `b` later.
        const history: { fromMs: number; state: KeyState }[] = [
          { fromMs: Number.NEGATIVE_INFINITY, state: firstState() },
        ];
        let nowMs = startMs + settleMs;
        let used = 1;
        for (const { act, afterMs, crash } of steps) {
          nowMs += afterMs;
          const { state } = history.at(-1) as { state: KeyState };
          const times = { now: new Date(nowMs), settleMs, tokenLifeMs };
          const outcome = act === 'rotate' ? rotate(state, pool[used] as PrivateKey, times) : retire(state, times);
          if (outcome.kind === 'refused') continue;
          if (outcome.step === 'published') used += 1;
          const [firstPart] = outcome.write;
          const half = { ...state, ...(firstPart ? { [firstPart]: outcome.state[firstPart] } : {}) };
          history.push({ fromMs: nowMs, state: crash ? half : outcome.state });
        }
        expect(finish((history.at(-1) as { state: KeyState }).state, nowMs)).toEqual('one key, which signs');
        const seen = (lateMs: number, atMs: number) =>
          (history.findLast(({ fromMs }) => fromMs + lateMs <= atMs) as { state: KeyState }).state;
        for (const { fromMs } of history.slice(1)) {
          for (const offset of [-1, 0, a - 1, a, b - 1, b, settleMs, settleMs + tokenLifeMs - 1]) {
            const signedAtMs = fromMs + offset;
            const { kid } = seen(a, signedAtMs).ring.signing;
            for (const ageMs of [0, tokenLifeMs / 2, tokenLifeMs - 1]) {
              const known = seen(b, signedAtMs + ageMs).trusted.keys.map((key) => key.kid);
              expect(known).toContain(kid);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
