import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Candidate, pickInstance } from './pick-instance.ts';

const candidates = fc.uniqueArray(
  fc.record({
    address: fc.integer({ min: 1, max: 9 }).map((n) => `10.0.0.${n}:1`),
    outstanding: fc.integer({ min: 0, max: 3 }),
    ejectedUntilMs: fc.constantFrom(0, 50, 150),
  }),
  { minLength: 1, selector: ({ address }) => address },
);
const asked = { nowMs: 100, tried: new Set<string>() };
const of = (all: readonly Candidate[], address: string | undefined) => all.find((one) => one.address === address)!;

describe('the instance that is picked', () => {
  test('has the fewest calls under way of those that nothing speaks against', () => {
    fc.assert(
      fc.property(candidates, fc.nat(100), (all, turn) => {
        const picked = of(all, pickInstance(all, { ...asked, turn }));
        const good = all.filter(({ ejectedUntilMs }) => ejectedUntilMs <= asked.nowMs);
        const among = good.length > 0 ? good : all;
        expect(among).toContain(picked);
        expect(picked.outstanding).toBe(Math.min(...among.map(({ outstanding }) => outstanding)));
      }),
    );
  });

  test('was not tried before, while there is another', () => {
    fc.assert(
      fc.property(candidates, fc.nat(100), fc.nat(8), (all, turn, count) => {
        const tried = new Set(all.slice(0, Math.min(count, all.length - 1)).map(({ address }) => address));
        expect(tried.has(pickInstance(all, { ...asked, turn, tried }) ?? '')).toBe(false);
      }),
    );
  });

  test('is another one each turn where all are alike, and each has its turn', () => {
    fc.assert(
      fc.property(candidates, fc.nat(100), (all, from) => {
        const alike = all.map((one) => ({ ...one, outstanding: 0, ejectedUntilMs: 0 }));
        const turns = alike.map((_, n) => pickInstance(alike, { ...asked, turn: from + n }));
        expect(new Set(turns).size).toBe(alike.length);
      }),
    );
  });

  test('is none where there are none', () => {
    expect(pickInstance([], { ...asked, turn: 3 })).toBeUndefined();
  });
});
