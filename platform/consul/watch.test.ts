import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { nextIndex } from './watch.ts';

const indexes = fc.nat();

test('a question never blocks on an index below 1, except to start again from 0', () => {
  fc.assert(
    fc.property(indexes, indexes, (previous, received) => {
      const next = nextIndex(previous, received);
      expect(next === 0 || next >= 1).toBe(true);
      expect(next === 0).toBe(received < previous);
    }),
  );
});

test('an index that does not go backwards is asked with next, so that no change falls between two questions', () => {
  fc.assert(
    fc.property(indexes, indexes, (previous, more) => {
      fc.pre(previous + more > 0);
      expect(nextIndex(previous, previous + more)).toBe(previous + more);
    }),
  );
});
