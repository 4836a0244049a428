import { describe, expect, test } from '@jest/globals';
import type { CanaryStanding } from '@strangler/platform/contracts/canary.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { judgeIntoReads } from './canary-gates.ts';

const at = '2026-01-01T00:00:00.000Z';
const nowMs = Date.parse(at) + 1_500;
const document: FlagDocument = {
  slice: 'shop',
  stage: 'canary',
  reads: { percent: 100, cohorts: [] },
  writes: { owner: 'monolith' },
  epoch: 1,
  change: { id: 'c9', by: 'canary', at, reason: 'up from 50 % to 100 %' },
};
const standing: CanaryStanding = {
  slice: 'shop',
  changeId: 'c9',
  percent: 100,
  steps: [1, 50, 100],
  state: 'baked',
  why: 'service 0 of 900 reads (0 %) failed',
  lacks: [],
  bakedMs: 31_000,
  bakeMs: 30_000,
  bakingSince: at,
  good: [1, 50],
  samples: { monolith: 0, service: 900 },
  errors: { monolith: 0, service: 0 },
  p99Ms: { monolith: null, service: 12 },
  baseline: null,
  steering: 'proxy-1',
  proxies: 2,
  seq: 40,
  at,
};
const judge = (over: Partial<CanaryStanding> | null, flag: Partial<FlagDocument> = {}, now = nowMs) =>
  judgeIntoReads({
    document: { ...document, ...flag },
    standing: over === null ? null : { ...standing, ...over },
    nowMs: now,
  })[0]!;

describe('the gate into reads', () => {
  test('is open when the canary has baked at 100 % within its bounds', () => {
    expect(judge({})).toMatchObject({ gate: 'canary', state: 'open', todo: null });
    expect(judge({}).found).toBe('100 %, baked for 31.0 s: service 0 of 900 reads (0 %) failed');
  });

  test('is shut while it bakes or waits, and says what it lacks', () => {
    const lacks = ['12 s of baking', '20 more reads at the service (180 of 200)'];
    expect(judge({ state: 'baking', lacks })).toMatchObject({
      state: 'shut',
      todo: expect.stringContaining(lacks[1]!),
    });
    const half = judge({ percent: 50, state: 'waiting', lacks }, { reads: { percent: 50, cohorts: [] } });
    expect(half).toMatchObject({ state: 'shut', found: expect.stringContaining('50 %, waiting') });
  });

  test('is shut when nobody steers, when the word is ten seconds old, and when it is of another document', () => {
    expect(judge(null)).toMatchObject({ state: 'shut', found: 'no proxy says where the canary stands' });
    expect(judge({}, {}, Date.parse(at) + 9_999).state).toBe('open');
    expect(judge({}, {}, Date.parse(at) + 10_000)).toMatchObject({ state: 'shut', forcible: true });
    expect(judge({}, {}, Date.parse(at) - 10_000).state).toBe('shut');
    expect(judge({ at: 'yesterday' }).state).toBe('shut');
    expect(judge({ changeId: 'c8' })).toMatchObject({ state: 'shut', todo: 'wait until the canary has baked anew' });
  });

  test('is shut after a step back, with why and how to begin again', () => {
    const change = { ...document.change, reason: 'back from 50 % to 0 %: the service failed 9 of 9 reads' };
    expect(judge({ state: 'stopped', percent: 0 }, { change, reads: { percent: 0, cohorts: [] } })).toMatchObject({
      state: 'shut',
      found: expect.stringContaining('9 of 9 reads'),
      todo: expect.stringContaining('strangler flag set shop --reads 1'),
    });
  });
});
