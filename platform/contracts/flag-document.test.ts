import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type FlagDocument,
  formatFlagDocument,
  initialFlagDocument,
  parseFlagDocument,
  stages,
} from './flag-document.ts';

const change = { id: 'c1', by: 'ada', at: '2026-01-02T03:04:05.678Z', reason: 'first canary' };

const documents: fc.Arbitrary<FlagDocument> = fc.record({
  slice: fc.constantFrom('catalog', 'orders-eu', 'a1'),
  stage: fc.constantFrom(...stages),
  reads: fc.record({
    percent: fc.integer({ min: 0, max: 10_000 }).map((hundredths) => hundredths / 100),
    cohorts: fc.array(
      fc.record({
        name: fc.constant('staff'),
        side: fc.constantFrom('monolith' as const, 'service' as const),
        when: fc.oneof(
          fc.record({ header: fc.constant('x-team'), equals: fc.string({ maxLength: 20 }) }),
          fc.record({ cookie: fc.constant('beta'), equals: fc.string({ maxLength: 20 }) }),
          fc.record({ users: fc.array(fc.string({ minLength: 1, maxLength: 10 }), { minLength: 1, maxLength: 5 }) }),
        ),
      }),
      { maxLength: 3 },
    ),
  }),
  writes: fc.oneof(
    fc.constant({ owner: 'monolith' as const }),
    fc.constant({
      owner: 'held' as const,
      from: 'monolith' as const,
      to: 'service' as const,
      deadline: '2026-01-02T03:04:05Z',
    }),
  ),
  epoch: fc.integer({ min: 1, max: 1_000_000 }),
  change: fc.constant(change),
});

describe('a flag document', () => {
  test('is read back exactly as it was written', () => {
    fc.assert(
      fc.property(documents, (document) => {
        expect(parseFlagDocument(formatFlagDocument(document), 'test')).toEqual(document);
      }),
      { numRuns: 1000 },
    );
  });

  test('of a slice never spoken of leaves everything on the monolith', () => {
    const document = initialFlagDocument('catalog', change);
    expect(parseFlagDocument(formatFlagDocument(document), 'test')).toEqual(document);
    expect(document.reads.percent).toBe(0);
    expect(document.writes).toEqual({ owner: 'monolith' });
  });

  test('that is not JSON is refused with its origin and its beginning', () => {
    expect(() => parseFlagDocument('percent: 10', 'strangler/slices/catalog')).toThrow(
      'strangler/slices/catalog: expected a JSON flag document, found "percent: 10"',
    );
  });

  test.each([
    ['a percentage above 100', { reads: { percent: 101, cohorts: [] } }, 'reads.percent'],
    ['a percentage with three decimals', { reads: { percent: 0.125, cohorts: [] } }, 'two decimals'],
    ['a stage nobody knows', { stage: 'half-way' }, 'stage'],
    ['an epoch of zero', { epoch: 0 }, 'epoch'],
    ['a key it does not have', { colour: 'blue' }, 'colour'],
    [
      'a hold from a side to itself',
      { writes: { owner: 'held', from: 'service', to: 'service', deadline: '2026-01-01T00:00:00Z' } },
      'writes.to',
    ],
    ['reads on the monolith while the service owns the writes', { writes: { owner: 'service' } }, 'must be 100'],
  ])('with %s is refused and the fault is named', (_what, fault, said) => {
    const document = { ...initialFlagDocument('catalog', change), ...fault };
    expect(() => parseFlagDocument(JSON.stringify(document), 'test')).toThrow(said);
  });

  test('with several faults names them all at once', () => {
    const document = { ...initialFlagDocument('catalog', change), stage: 'x', epoch: -1 };
    expect(() => parseFlagDocument(JSON.stringify(document), 'test')).toThrow(/stage.*epoch/);
  });
});
