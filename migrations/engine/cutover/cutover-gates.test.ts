import { describe, expect, test } from '@jest/globals';
import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import { type CutoverFigures, judgeCutover, standing } from './cutover-gates.ts';

const figures: CutoverFigures = {
  slice: 'shop',
  to: 'service',
  flag: { stage: 'reads', reads: { percent: 100, cohorts: [] }, writes: { owner: 'monolith' } },
  resume: 'nothing',
  fences: { monolith: undefined, service: undefined },
  proxies: { live: 2, unlisted: [] },
  order: { before: [], dependents: [] },
};
const shut = (more: Partial<CutoverFigures>) =>
  standing(judgeCutover({ ...figures, ...more }), true).map(({ gate }) => gate);
const fence = (state: 'open' | 'closed') => ({ state, epoch: 1, owner: 'monolith' as const });

describe('the gates of a cut-over', () => {
  test('are open from reads to the service and from writes to the monolith, with fences or without', () => {
    expect(shut({})).toEqual([]);
    expect(shut({ fences: { monolith: fence('open'), service: fence('closed') } })).toEqual([]);
    expect(
      shut({
        to: 'monolith',
        flag: { ...figures.flag, stage: 'writes', writes: { owner: 'service' } },
        fences: { monolith: fence('closed'), service: fence('open') },
      }),
    ).toEqual([]);
  });

  test('are shut, and not to be forced, at another stage, beside a cut-over left half-way, and before an unknown proxy', () => {
    expect(shut({ flag: { ...figures.flag, stage: 'canary' } })).toEqual(['stage']);
    expect(shut({ flag: { ...figures.flag, reads: { percent: 50, cohorts: [] } } })).toEqual(['stage']);
    expect(shut({ to: 'monolith' })).toEqual(['stage']);
    expect(shut({ resume: 'finish' })).toEqual(['resume']);
    expect(shut({ fences: { monolith: fence('closed'), service: undefined } })).toEqual(['fence']);
    expect(shut({ proxies: { live: 1, unlisted: ['p2'] } })).toEqual(['proxies']);
  });

  test('are shut to the service before a slice that it asks has moved, and to the monolith before one that asks it has gone back', () => {
    const order = (before: Stage | null, dependent: Stage | null) => ({
      before: [{ slice: 'payments', stage: before }],
      dependents: [{ slice: 'reports', stage: dependent }],
    });
    const back = { to: 'monolith', flag: { ...figures.flag, stage: 'writes', writes: { owner: 'service' } } } as const;
    for (const stage of ['writes', 'complete'] as const) {
      expect(shut({ order: order(stage, stage) })).toEqual([]);
      expect(shut({ ...back, order: order(stage, stage) })).toEqual(['order']);
    }
    for (const stage of [null, 'monolith', 'shadow', 'reads'] as const) {
      expect(shut({ order: order(stage, stage) })).toEqual(['order']);
      expect(shut({ ...back, order: order(stage, stage) })).toEqual([]);
    }
    const told = judgeCutover({ ...figures, order: order('reads', null) }).find(({ gate }) => gate === 'order');
    expect(told).toMatchObject({ found: 'payments at reads', todo: '"strangler advance payments" comes first' });
  });

  test('say what opens them', () => {
    const verdicts = judgeCutover({ ...figures, resume: 'call off', proxies: { live: 1, unlisted: ['p2'] } });
    expect(verdicts.find(({ gate }) => gate === 'resume')?.todo).toBe('"strangler resume shop" calls it off');
    expect(verdicts.find(({ gate }) => gate === 'proxies')?.found).toBe('p2 registered without a live session');
  });
});
