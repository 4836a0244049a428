import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { refuse, warn } from '../preflight/finding.ts';
import {
  judgeCopies,
  judgeShadow,
  judgeSync,
  type ShadowFigures,
  type SyncFigures,
  standingGates,
  type Verdict,
} from './gates.ts';

const syncFigures: SyncFigures = { slice: 'shop', findings: [], filledTargets: [], oldestUnpublishedMs: null };

const verified = { table: 'items', complete: true, rowsCompared: 10, differences: 0, unsettled: 0 };
const shadowFigures: ShadowFigures = {
  slice: 'shop',
  drift: [],
  backfill: [{ table: 'items', state: 'done', rowsRead: 10 }],
  lag: { lagMs: 12, unpublished: 0, unapplied: 1 },
  consumed: { queues: 16, of: 16 },
  parked: 0,
  deadLetters: 0,
  verified: [verified],
};

const shut = (verdicts: readonly Verdict[]) => verdicts.filter(({ state }) => state === 'shut').map(({ gate }) => gate);

describe('the gate into sync', () => {
  test('is open for a slice that fits, also where there are warnings', () => {
    expect(shut(judgeSync(syncFigures))).toEqual([]);
    const findings = [warn('truncate-possible', 'source shop', 'somebody may', 'see that nobody does')];
    expect(shut(judgeSync({ ...syncFigures, findings, oldestUnpublishedMs: 9_999 }))).toEqual([]);
  });

  test('names every refusal of the preflight with what to do', () => {
    const findings = [
      refuse('no-primary-key', 'source shop.a', 'no key', 'give it one'),
      refuse('not-innodb', 'source shop.b', 'MyISAM', 'ALTER TABLE'),
    ];
    const [preflight] = judgeSync({ ...syncFigures, findings });
    expect(preflight).toMatchObject({ state: 'shut', found: '2 refusals', forcible: false });
    expect(preflight?.todo).toBe('source shop.a: no key; give it one\nsource shop.b: MyISAM; ALTER TABLE');
  });

  test('is shut while the target holds rows, or the relay stands still', () => {
    expect(shut(judgeSync({ ...syncFigures, filledTargets: ['items'] }))).toEqual(['target-empty']);
    expect(shut(judgeSync({ ...syncFigures, oldestUnpublishedMs: 10_001 }))).toEqual(['relay']);
  });
});

describe('the gate into shadow', () => {
  test('is open when all is copied, applied and equal', () => {
    expect(shut(judgeShadow(shadowFigures))).toEqual([]);
  });

  test('says which figure is short of which bound', () => {
    const judged = judgeShadow({ ...shadowFigures, lag: { lagMs: 1_500, unpublished: 3, unapplied: 4 } });
    expect(judged.find(({ gate }) => gate === 'lag')).toMatchObject({
      state: 'shut',
      found: '1.5 s (3 changes not published, 4 not applied)',
      bound: 'at most 1.0 s',
    });
  });

  test.each<[string, Partial<ShadowFigures>]>([
    ['capture', { drift: [{ kind: 'missing', name: 't', table: 'items', reason: 'no INSERT is captured' }] }],
    ['backfill', { backfill: [{ table: 'items', state: 'running', rowsRead: 5 }] }],
    ['backfill', { backfill: [{ table: 'items', state: 'not begun', rowsRead: 0 }] }],
    ['applier', { consumed: { queues: 15, of: 16 } }],
    ['lag', { lag: { lagMs: 1_001, unpublished: 1, unapplied: 0 } }],
    ['parked', { parked: 1 }],
    ['dead-letters', { deadLetters: 1 }],
    ['verify', { verified: null }],
    ['verify', { verified: [{ ...verified, differences: 1 }] }],
    ['verify', { verified: [{ ...verified, unsettled: 1 }] }],
    ['verify', { verified: [{ ...verified, complete: false }] }],
  ])('is shut by %s alone: %j', (gate, figures) => {
    const judged = judgeShadow({ ...shadowFigures, ...figures });
    expect(shut(judged)).toEqual([gate]);
    expect(judged.find((one) => one.gate === gate)?.todo).not.toBeNull();
  });

  test('worse figures never open what better ones leave shut', () => {
    const figures = fc.record({
      lagMs: fc.nat(5_000),
      parked: fc.nat(3),
      deadLetters: fc.nat(3),
      differences: fc.nat(3),
      queues: fc.nat(16),
    });
    const judged = ({
      lagMs,
      parked,
      deadLetters,
      differences,
      queues,
    }: typeof figures extends fc.Arbitrary<infer T> ? T : never) =>
      judgeShadow({
        ...shadowFigures,
        lag: { lagMs, unpublished: 0, unapplied: 0 },
        parked,
        deadLetters,
        consumed: { queues, of: 16 },
        verified: [{ ...verified, differences }],
      });
    fc.assert(
      fc.property(figures, figures, (one, more) => {
        const worse = {
          lagMs: one.lagMs + more.lagMs,
          parked: one.parked + more.parked,
          deadLetters: one.deadLetters + more.deadLetters,
          differences: one.differences + more.differences,
          queues: Math.min(one.queues, more.queues),
        };
        expect(shut(judged(worse))).toEqual(expect.arrayContaining(shut(judged(one))));
      }),
    );
  });
});

test('force goes past figures, never past what could lose a change', () => {
  const all = judgeShadow({
    ...shadowFigures,
    drift: [{ kind: 'missing', name: 't', table: 'items', reason: '' }],
    backfill: [],
    consumed: { queues: 0, of: 16 },
    lag: { lagMs: 5_000, unpublished: 1, unapplied: 1 },
    parked: 1,
    deadLetters: 1,
    verified: null,
  });
  expect(standingGates(all, false).map(({ gate }) => gate)).toEqual(shut(all));
  expect(standingGates(all, true).map(({ gate }) => gate)).toEqual(['capture', 'applier']);
});

describe('into complete, copies that other slices keep of its tables', () => {
  const stages = ['monolith', 'sync', 'shadow', 'canary', 'reads', 'writes', 'complete'] as const;
  const copier = fc.record({
    slice: fc.constantFrom('stock', 'orders', 'search'),
    table: fc.constantFrom('products', 'categories'),
    stage: fc.option(fc.constantFrom(...stages)),
    ends: fc.boolean(),
  });
  const begun = ({ stage }: { stage: string | null }) => stage !== null && stage !== 'monolith';
  const canDoWithout = ({ stage, ends }: { stage: string | null; ends: boolean }) =>
    !begun({ stage }) || (ends && (stage === 'writes' || stage === 'complete'));

  test('is open exactly when everybody who has begun can do without, and is never forced', () => {
    fc.assert(
      fc.property(fc.array(copier), (copiers) => {
        const { state, forcible } = judgeCopies('catalog', copiers);
        expect({ state, forcible }).toEqual({ state: copiers.every(canDoWithout) ? 'open' : 'shut', forcible: false });
      }),
    );
  });

  test('names who is in the way and what to do, and who could not begin any more', () => {
    const of = (slice: string, stage: (typeof stages)[number], ends: boolean) => ({
      slice,
      table: 'products',
      stage,
      ends,
    });
    expect(judgeCopies('catalog', [of('orders', 'writes', false)])).toMatchObject({
      found: 'orders copies products for good',
      todo: expect.stringContaining('`until: catalog`'),
    });
    expect(judgeCopies('catalog', [of('stock', 'reads', true)])).toMatchObject({
      found: 'stock copies products and is at reads',
      todo: 'take stock to writes first',
    });
    expect(judgeCopies('catalog', [of('stock', 'monolith', true)]).found).toContain(
      'stock would have nothing to copy from',
    );
  });
});
