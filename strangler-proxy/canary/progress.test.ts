import { describe, expect, test } from '@jest/globals';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { type Progress, progressOfNewDocument } from './progress.ts';
import { noFigures } from './side-figures.ts';

const flag = (by: string, percent: number, stage: FlagDocument['stage'] = 'canary'): FlagDocument => ({
  slice: 'catalog',
  stage,
  reads: { percent, cohorts: [] },
  writes: { owner: 'monolith' },
  epoch: 1,
  change: { id: `${by}-${percent}`, by, at: '2026-01-01T00:00:00.000Z', reason: '' },
});
const at25: Progress = {
  changeId: 'canary-25',
  percent: 25,
  bakedMs: 30_000,
  bakingSinceMs: 0,
  good: [1, 5],
  stopped: false,
  baseline: { ...noFigures(), requests: 900 },
};
const next = (document: FlagDocument, previous?: FlagDocument, before: Progress | null = at25) =>
  progressOfNewDocument(document, previous, before, 1_000);

describe('a canary under a new document', () => {
  test('that the canary stepped up to has the percentage before among the good ones, and what to compare with', () => {
    expect(next(flag('canary', 50), flag('canary', 25))).toMatchObject({
      percent: 50,
      bakedMs: 0,
      good: [1, 5, 25],
      stopped: false,
      baseline: { requests: 900 },
    });
  });

  test('stepped up by a proxy that died before it could say so goes on from the audit log', () => {
    expect(next(flag('canary', 50), flag('canary', 25), null)).toMatchObject({ good: [25], stopped: false });
    expect(next(flag('canary', 5), flag('canary', 25), null)).toMatchObject({ good: [], stopped: true });
  });

  test('that lowers the percentage stays there, whoever made it, also on the way back from reads', () => {
    expect(next(flag('canary', 5), flag('canary', 25))).toMatchObject({ good: [1], stopped: true });
    expect(next(flag('ada', 5), flag('canary', 25))).toMatchObject({ good: [1], stopped: true });
    expect(next(flag('ada', 50), flag('ada', 100, 'reads'))).toMatchObject({ stopped: true });
    expect(next(flag('ada', 5), flag('canary', 5))).toMatchObject({ stopped: false });
  });

  test('that comes from another stage begins anew: the service may be another by now', () => {
    expect(next(flag('ada', 50), flag('ada', 0, 'shadow'))).toMatchObject({ good: [], stopped: false, baseline: null });
  });
});
