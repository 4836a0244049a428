import { describe, expect, test } from '@jest/globals';
import { type FlagDocument, stages } from '@strangler/platform/contracts/flag-document.ts';
import { alwaysSure, shutBy } from './standing.ts';

const document = (more: Partial<FlagDocument> = {}): FlagDocument => ({
  slice: 'catalog',
  stage: 'reads',
  reads: { percent: 100, cohorts: [] },
  writes: { owner: 'monolith' },
  epoch: 4,
  change: { id: 'c', by: 'test', at: '2026-01-01T00:00:00.000Z', reason: '' },
  ...more,
});
const shut = (flag: FlagDocument | undefined, standing = alwaysSure, whenCutOff: 'hold' | 'send' = 'hold') =>
  shutBy('catalog', flag, standing, 1_000, whenCutOff);
const cutOff = { untilMs: 1_000, floor: new Map() };

describe('writes of a slice wait', () => {
  test('while the flag says so, cut off or not', () => {
    const deadline = '2026-01-01T00:00:05.000Z';
    const held = document({ writes: { owner: 'held', from: 'monolith', to: 'service', deadline } });
    for (const standing of [alwaysSure, cutOff])
      expect(shut(held, standing)).toEqual({ why: 'cut-over', deadline: Date.parse(deadline) });
  });

  test('when the session may have ended, at the stages from which ownership moves in one step', () => {
    const kept = stages.filter((stage) => shut(document({ stage }), cutOff) !== null);
    expect(kept).toEqual(['reads', 'writes']);
    for (const stage of stages) expect(shut(document({ stage }), { ...cutOff, untilMs: 1_001 })).toBeNull();
  });

  test('unless the operator has told the proxy to go on without Consul', () => {
    expect(shut(document(), cutOff, 'send')).toBeNull();
  });

  test('under a document whose epoch is known to be over, whatever the operator has told', () => {
    const behind = { ...alwaysSure, floor: new Map([['catalog', 5]]) };
    expect(shut(document({ stage: 'monolith' }), behind, 'send')).toEqual({ why: 'cut-off' });
    expect(shut(undefined, behind)).toEqual({ why: 'cut-off' });
    expect(shut(document({ epoch: 5 }), behind)).toBeNull();
  });

  test('not where there is no flag', () => {
    expect(shut(undefined, cutOff)).toBeNull();
  });
});
