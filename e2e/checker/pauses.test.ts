import { expect, test } from '@jest/globals';
import type { CutoverJournal } from '@strangler/platform/contracts/cutover-journal.ts';
import type { Operation } from './operation.ts';
import { ownershipOf, pauseOf, stepsOf } from './pauses.ts';

const at = (ms: number): string => new Date(ms).toISOString();
const journal = (
  to: 'monolith' | 'service',
  steps: [CutoverJournal['steps'][number]['step'], number, number | null][],
) =>
  ({
    from: to === 'service' ? 'monolith' : 'service',
    to,
    steps: steps.map(([step, from, until]) => ({
      step,
      startedAt: at(from),
      endedAt: until === null ? null : at(until),
      detail: null,
    })),
  }) as unknown as CutoverJournal;
const write = (invokedAtMs: number, endedAtMs: number, over: Partial<Operation> = {}): Operation => ({
  id: 1,
  client: 'c',
  op: 'patch price',
  kind: 'write',
  key: 'k',
  value: `${invokedAtMs}`,
  invokedAtMs,
  endedAtMs,
  outcome: 'ok',
  side: null,
  epoch: null,
  ...over,
});

test('the pause of a cut-over is the longest time without an acknowledged write, reads and refusals left out', () => {
  const through = journal('service', [
    ['prepare', 0, 1_000],
    ['hold', 1_000, 1_020],
    ['commit', 1_020, 1_030],
    ['release', 1_030, 1_050],
  ]);
  const history = [
    write(0, 10),
    write(980, 990),
    write(1_001, 1_060),
    write(1_002, 1_064),
    write(1_010, 1_011, { outcome: 'refused' }),
    write(1_010, 1_012, { kind: 'read' }),
    write(1_100, 1_110),
    write(9_000, 9_900),
  ];
  expect(pauseOf(through, history)).toEqual({ gapMs: 70, longestWriteMs: 62, writes: 2 });
  expect(pauseOf(journal('service', [['prepare', 0, 9]]), history)).toBeNull();
});

test('an owner is sure of the writes from the end of its commit to the begin of the next', () => {
  const there = journal('service', [
    ['commit', 100, 110],
    ['release', 110, 120],
  ]);
  const calledOff = journal('monolith', [['hold', 150, 160]]);
  const unknown = journal('monolith', [['commit', 200, null]]);
  const back = journal('monolith', [
    ['commit', 300, 310],
    ['release', 310, 320],
  ]);
  expect(ownershipOf([there, calledOff, back])).toEqual([
    { side: 'monolith', fromMs: Number.NEGATIVE_INFINITY, untilMs: 99 },
    { side: 'service', fromMs: 111, untilMs: 299 },
    { side: 'monolith', fromMs: 311, untilMs: Number.POSITIVE_INFINITY },
  ]);
  const sure = ownershipOf([there, unknown, back]).filter(({ fromMs, untilMs }) => fromMs < untilMs);
  expect(sure.map(({ side, untilMs }) => [side, untilMs])).toEqual([
    ['monolith', 99],
    ['service', 199],
    ['monolith', Number.POSITIVE_INFINITY],
  ]);
});

test('the time that each step takes is told step by step', () => {
  const steps = stepsOf([
    journal('service', [
      ['hold', 0, 7],
      ['fence', 7, null],
    ]),
  ]);
  expect(steps.find(({ step }) => step === 'hold')).toEqual({ step: 'hold', tookMs: [7] });
  expect(steps.find(({ step }) => step === 'fence')).toEqual({ step: 'fence', tookMs: [] });
});
