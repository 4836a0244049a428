import { describe, expect, test } from '@jest/globals';
import { type FlagDocument, initialFlagDocument } from '../contracts/flag-document.ts';
import { requireDataInStep } from './edit-flag.ts';

const at = (stage: FlagDocument['stage'], percent: number, toService: string[] = []): FlagDocument => ({
  ...initialFlagDocument('catalog', { id: 'c', by: 'ada', at: '2026-01-01T00:00:00.000Z', reason: '' }),
  stage,
  reads: { percent, cohorts: toService.map((name) => ({ name, when: { users: ['u'] }, side: 'service' })) },
});

describe('a slice that keeps data', () => {
  test.each<[FlagDocument, FlagDocument]>([
    [at('monolith', 0), at('monolith', 1)],
    [at('sync', 0), at('sync', 0.01)],
    [at('sync', 0), at('sync', 0, ['testers'])],
  ])('does not send more users to a copy that is not proven', (before, after) => {
    expect(() => requireDataInStep(before, after)).toThrow(
      expect.objectContaining({ kind: 'refused', message: expect.stringContaining('strangler advance') }),
    );
  });

  test.each<[FlagDocument, FlagDocument]>([
    [at('shadow', 0), at('shadow', 100, ['testers'])],
    [at('monolith', 50, ['testers']), at('monolith', 10)],
    [at('sync', 5), at('sync', 5)],
  ])('may always take users back, and move them once its copy is proven', (before, after) => {
    expect(() => requireDataInStep(before, after)).not.toThrow();
  });
});
