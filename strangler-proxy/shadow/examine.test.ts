import { describe, expect, test } from '@jest/globals';
import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import { compareAnswers } from '@strangler/platform/compare/compare-answers.ts';
import { compileRules } from '@strangler/platform/compare/rules.ts';
import { defaultCompare } from '@strangler/platform/contracts/slice-compare.ts';
import fc from 'fast-check';
import { readProbe } from './dry-run-agent.ts';
import { confirmAfterMs, type ExamineReadParts, examineRead, recheckAfterMs } from './examine-read.ts';
import { judgeWrite, unheardMs } from './examine-write.ts';
import { createSharedNoise } from './shared-noise.ts';

const rules = compileRules(defaultCompare);
const answer = (value: unknown, status = 200): ComparedAnswer => ({
  ...{ status, headers: [], latencyMs: 1, effects: null },
  body: { kind: 'json', value },
});

/**
 * What each side answers at each of the five looks. At the last two the monolith is asked twice: its answers are 0, 1, 2, 3 and 4,
 * 5 and 6; the service's 0 to 4. What is not told is as before.
 */
const examine = async (
  monolith: readonly unknown[],
  service: readonly unknown[],
  over: Partial<Pick<ExamineReadParts, 'takePlace' | 'askAgain'>> & { noisy?: string[] } = {},
) => {
  const asked = { monolith: 0, service: 0 };
  const waited: number[] = [];
  let places = 0;
  const examined = await examineRead({
    monolith: answer(monolith[0]),
    service: answer(service[0]),
    compare: (one, other) => compareAnswers(one, other, rules),
    async askAgain(side) {
      asked[side] += 1;
      const all = side === 'monolith' ? monolith : service;
      return { kind: 'answered', answer: answer(all[asked[side]] ?? all.at(-1)) };
    },
    noise: { compared() {}, isNoise: (path) => over.noisy?.includes(path) ?? false },
    takePlace() {
      places += 1;
      return {
        leave() {
          places -= 1;
        },
      };
    },
    async pause(ms) {
      waited.push(ms);
    },
    ...over,
  });
  expect(places).toBe(0);
  return { examined, asked, waited };
};

describe('a read', () => {
  test('that is the same is not asked about again', async () => {
    const { examined, asked } = await examine([{ a: 1 }], [{ a: 1 }]);
    expect(examined).toMatchObject({ outcome: 'same' });
    expect(asked).toEqual({ monolith: 0, service: 0 });
  });

  test('that becomes the same was lag, at whichever look', async () => {
    for (const late of [1, 2, 3]) {
      const service = [0, 1, 2, 3].map((look) => ({ a: look < late ? 1 : 2 }));
      const { examined, waited } = await examine([{ a: 2 }], service);
      expect(examined).toMatchObject({ outcome: 'lag', differences: [] });
      expect(waited).toEqual(recheckAfterMs.slice(0, late));
    }
  });

  test('that differs to the end while the monolith stands still is different, in just those places', async () => {
    const { examined, asked } = await examine([{ a: 2, b: 1 }], [{ a: 1, b: 1 }]);
    expect(examined).toMatchObject({ outcome: 'different', differences: [{ path: '$.a', monolith: 2, service: 1 }] });
    expect(asked).toEqual({ monolith: 6, service: 4 });
  });

  test('that agrees when it is looked at a last time, or differs elsewhere then, was lag: the pipe had stood still', async () => {
    const stalled = (last: unknown) => [...Array(4).fill({ a: 1, b: 1 }), last];
    for (const last of [
      { a: 2, b: 1 },
      { a: 2, b: 0 },
    ]) {
      const { examined, waited } = await examine([{ a: 2, b: 1 }], stalled(last));
      expect(examined).toMatchObject({ outcome: 'lag', differences: [] });
      expect(waited).toEqual([...recheckAfterMs, confirmAfterMs]);
    }
  });

  test('that differs to the end is different though the monolith has gone on before the last look', async () => {
    const { examined } = await examine(
      [1, 1, 1, 1, 1, 5, 5].map((a) => ({ a })),
      [0, 0, 0, 0, 4].map((a) => ({ a })),
    );
    expect(examined).toMatchObject({ outcome: 'different', differences: [{ path: '$.a', monolith: 5, service: 4 }] });
  });

  test('whose every difference is between two answers of the monolith too is noise, and any other is not', async () => {
    const trace = (a: number) => [1, 2, 3, 4, 5, 6, 7].map((t) => ({ a, t }));
    const service = [11, 12, 13, 14, 15].map((t) => ({ a: 1, t }));
    expect((await examine(trace(1), service)).examined).toMatchObject({ outcome: 'noise', differences: [] });
    expect((await examine(trace(2), service)).examined).toMatchObject({
      outcome: 'different',
      differences: [{ path: '$.a' }],
    });
  });

  test('of something that the monolith changes all the time proves nothing', async () => {
    const counter = [1, 2, 3, 4, 4].map((a) => ({ a }));
    const behind = [0, 1, 2, 3].map((a) => ({ a }));
    expect((await examine(counter, behind)).examined).toMatchObject({ outcome: 'lag', differences: [] });
  });

  test('whose answer at the monolith has just changed anywhere proves nothing, though what differs stood still', async () => {
    // A product was added and another taken away: the last page's cursor is the same, the service's is not yet.
    const monolith = [1, 1, 1, 2, 2].map((added) => ({ added, cursor: 'b' }));
    const service = [1, 1, 1, 1].map((added) => ({ added, cursor: 'a' }));
    expect((await examine(monolith, service)).examined).toMatchObject({ outcome: 'lag', differences: [] });
  });

  test('that differs only in what is known for noise is not asked about again', async () => {
    const { examined, asked } = await examine([{ t: 1 }], [{ t: 2 }], { noisy: ['$.t'] });
    expect(examined).toMatchObject({ outcome: 'noise' });
    expect(asked).toEqual({ monolith: 0, service: 0 });
  });

  test('is not judged where there is no place to ask again, or a side fails', async () => {
    expect((await examine([1], [2], { takePlace: () => null })).examined).toEqual({ kind: 'unsettled' });
    const askAgain = async (side: string) =>
      side === 'service'
        ? ({ kind: 'failed', why: 'timeout' } as const)
        : ({ kind: 'answered', answer: answer(1) } as const);
    expect((await examine([1], [2], { askAgain })).examined).toEqual({
      kind: 'failed',
      side: 'service',
      why: 'timeout',
    });
  });

  test('is different only where the service was wrong at every look and the monolith was steady', async () => {
    const values = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 7, maxLength: 7 });
    await fc.assert(
      fc.asyncProperty(values, values, async (monolith, service) => {
        const { examined } = await examine(
          monolith.map((a) => ({ a })),
          service.map((a) => ({ a })),
        );
        const wrong = [0, 1, 2, 3].every((look) => monolith[look] !== service[look]) && monolith[5] !== service[4];
        const steady = monolith[2] === monolith[3] && monolith[3] === monolith[4] && monolith[5] === monolith[6];
        expect(examined.kind === 'judged' && examined.outcome === 'different').toBe(wrong && steady);
      }),
    );
  });
});

describe('a write', () => {
  const different = compareAnswers(answer({ a: 1 }), answer({ a: 2 }), rules);
  const alone = { othersWrote: false, answeredAfterLiveMs: -3 };

  test('that differs is different, unless the service may have known of it or another wrote the same thing', () => {
    expect(judgeWrite(different, alone).outcome).toBe('different');
    expect(judgeWrite(different, { ...alone, othersWrote: true }).outcome).toBe('racing');
    expect(judgeWrite(different, { ...alone, answeredAfterLiveMs: unheardMs + 1 }).outcome).toBe('racing');
  });

  test('that is the same is so whatever happened beside it', () => {
    const same = compareAnswers(answer({ a: 1 }), answer({ a: 1 }), rules);
    expect(judgeWrite(same, { othersWrote: true, answeredAfterLiveMs: 500 }).outcome).toBe('same');
  });
});

describe('the answer to a probe', () => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n';
  const yes = `${head}Content-Length: 15\r\n\r\n{"dryRun":true}`;

  test('says yes only whole, with its length, and with nothing after it', () => {
    expect(readProbe(yes)).toBe('yes');
    for (let at = 0; at < yes.length; at += 1) expect(readProbe(yes.slice(0, at))).toBe('incomplete');
    expect(readProbe(`${yes}x`)).toBe('no');
    expect(readProbe(`${head}Content-Length: 16\r\n\r\n{"dryRun":false}`)).toBe('no');
    expect(readProbe(`${head}Content-Length: 4\r\n\r\nnull`)).toBe('no');
    expect(readProbe(`${head}Transfer-Encoding: chunked\r\n\r\nf\r\n{"dryRun":true}\r\n0\r\n\r\n`)).toBe('no');
    expect(readProbe(yes.replace('200 OK', '404 Not Found'))).toBe('no');
    expect(readProbe(yes.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))).toBe('no');
  });
});

describe('noise that workers share', () => {
  test('is judged by all of them on what all have counted, each count once, however often they are heard', () => {
    const [one, other] = [createSharedNoise(), createSharedNoise()];
    for (let pair = 0; pair < 40; pair += 1) {
      one.learn('GET /a', ['$.t']);
      other.compared('GET /a', ['$.t']);
    }
    expect(one.isNoise('GET /a', '$.t')).toBe(false);
    for (let turn = 0; turn < 3; turn += 1) {
      one.hear([other.own()]);
      other.hear([one.own()]);
    }
    expect(one.isNoise('GET /a', '$.t')).toBe(true);
    expect(other.isNoise('GET /a', '$.t')).toBe(true);
    expect(other.isNoise('GET /a', '$.price')).toBe(false);
    expect(one.own().endpoints['GET /a']).toMatchObject({ pairs: 40, compared: 0 });
  });
});
