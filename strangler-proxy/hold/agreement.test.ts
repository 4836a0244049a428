import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Agreed, createAgreement } from './agreement.ts';

const hold = (changeId: string, heldNow = 0) => ({ epoch: 7, changeId, heldNow });
const recording = () => {
  const seen: ReadonlyMap<string, Agreed>[] = [];
  return { seen, agreement: createAgreement((agreed) => void seen.push(agreed)) };
};

test('a hold is agreed on when every worker has said so, and no longer when one takes it back', () => {
  const { agreement } = recording();
  agreement.counted(1);
  agreement.counted(2);
  agreement.says(1, 'catalog', hold('a', 3));
  expect(agreement.agreed().size).toBe(0);
  agreement.says(2, 'catalog', hold('a', 4));
  expect(agreement.agreed().get('catalog')).toEqual({ epoch: 7, changeId: 'a', heldNow: 7, workers: 2 });
  agreement.says(2, 'catalog', hold('b'));
  expect(agreement.agreed().size).toBe(0);
});

test('a worker that dies is no longer asked, and one that starts has to say so too', () => {
  const { agreement } = recording();
  agreement.counted(1);
  agreement.counted(2);
  agreement.says(1, 'catalog', hold('a'));
  agreement.gone(2);
  expect(agreement.agreed().get('catalog')?.workers).toBe(1);
  agreement.counted(3);
  expect(agreement.agreed().size).toBe(0);
  agreement.says(3, 'catalog', hold('a'));
  expect(agreement.agreed().get('catalog')?.workers).toBe(2);
});

test('a worker that is not counted yet has no say', () => {
  const { agreement, seen } = recording();
  agreement.says(1, 'catalog', hold('a'));
  expect(seen).toEqual([]);
  agreement.counted(1);
  expect(seen).toHaveLength(1);
});

test('whatever workers say, come and go: what is agreed on is what all that are counted said last', () => {
  const step = fc.record({
    worker: fc.integer({ min: 1, max: 3 }),
    kind: fc.constantFrom('counted', 'gone', 'says', 'says' as const),
    slice: fc.constantFrom('catalog', 'orders'),
    changeId: fc.constantFrom('a', 'b', null),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { agreement, seen } = recording();
      const counted = new Set<number>();
      const said = new Map<string, string | null>();
      for (const { worker, kind, slice, changeId } of steps) {
        if (kind === 'counted') {
          counted.add(worker);
          agreement.counted(worker);
        } else if (kind === 'gone') {
          counted.delete(worker);
          for (const one of ['catalog', 'orders']) said.delete(`${worker} ${one}`);
          agreement.gone(worker);
        } else {
          said.set(`${worker} ${slice}`, changeId);
          agreement.says(worker, slice, changeId === null ? null : hold(changeId));
        }
        for (const one of ['catalog', 'orders']) {
          const all = [...counted].map((each) => said.get(`${each} ${one}`) ?? null);
          const expected =
            all.length > 0 && all[0] !== null && all.every((each) => each === all[0]) ? all[0] : undefined;
          expect(agreement.agreed().get(one)?.changeId).toBe(expected);
        }
        expect(seen.at(-1) ?? new Map()).toEqual(agreement.agreed());
      }
    }),
  );
});
