import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type FenceRefusal, fenceErrno, fencePrefix, fenceReasons, readFenceRefusal } from './fence-refusal.ts';

/** As the database words it. */
const messageOf = ({ slice, epoch, owner, because }: FenceRefusal): string =>
  `${fencePrefix}${slice} epoch ${epoch}, owner ${owner}${fenceReasons[because]}`.slice(0, 128);

const refusals: fc.Arbitrary<FenceRefusal> = fc.record({
  slice: fc.stringMatching(/^[a-z][a-z0-9-]{0,63}$/),
  epoch: fc.integer({ min: 0, max: 4_294_967_295 }),
  owner: fc.constantFrom('monolith' as const, 'service' as const),
  because: fc.constantFrom('closed' as const, 'pass' as const, 'owned' as const),
});

test('a refusal is read from its message, however long, and through what wraps the error', () => {
  fc.assert(
    fc.property(refusals, fc.constantFrom('cause', 'original', 'parent'), (refusal, link) => {
      const error = Object.assign(new Error(messageOf(refusal)), { errno: fenceErrno });
      expect(readFenceRefusal(error)).toEqual(refusal);
      expect(readFenceRefusal(Object.assign(new Error('SequelizeDatabaseError'), { [link]: error }))).toEqual(refusal);
    }),
  );
});

test('no other error is one', () => {
  for (const error of [
    undefined,
    null,
    'strangler fence: shop epoch 1, owner service',
    new Error('strangler fence: shop epoch 1, owner service'),
    Object.assign(new Error('strangler fence: shop epoch 1, owner service'), { errno: 1644 }),
    Object.assign(new Error('strangler fence: shop has no row in strangler_fence'), { errno: fenceErrno }),
  ]) {
    expect(readFenceRefusal(error)).toBeUndefined();
  }
});
