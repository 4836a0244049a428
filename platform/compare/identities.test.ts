import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { answering, differencesOf, rulesOf } from './answer.fixture.ts';
import { compareAnswers } from './compare-answers.ts';
import { createIdentityMap, learnIdentities } from './identities.ts';

const rules = rulesOf({ identities: ['$.id', '$.items[*].id', '$..reviewId'] });
const created = (value: unknown, location?: string) =>
  answering(value, { status: 201, headers: location === undefined ? [] : [['Location', location]] });

describe('an identity map', () => {
  test('is one to one: neither side’s id ever names two things', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(20), fc.nat(20)), { maxLength: 60 }), (pairs) => {
        const map = createIdentityMap();
        const learnt = pairs.filter(([ours, theirs]) => map.pair(ours, theirs));
        const distinct = new Map(learnt.map(([ours, theirs]) => [ours, theirs]));
        expect(new Set(distinct.values()).size).toBe(distinct.size);
        for (const [ours, theirs] of learnt) expect(map.paired(ours, theirs)).toBe(true);
        expect(map.size()).toBe(distinct.size);
      }),
    );
  });

  test('holds at most as many pairs as it may, and forgets the oldest whole', () => {
    const map = createIdentityMap({ maxPairs: 3 });
    for (let n = 0; n < 5; n += 1) map.pair(n, 100 + n);
    expect([0, 1, 2, 3, 4].map((n) => map.paired(n, 100 + n))).toEqual([false, false, true, true, true]);
    expect(map.pair(9, 100)).toBe(true);
  });
});

describe('ids that both sides made', () => {
  test('are learnt at the paths of the rules and count as equal wherever ids stand', () => {
    const map = createIdentityMap();
    expect(compareAnswers(created({ id: 7, n: 1 }), created({ id: 9, n: 1 }), rules, map).differences).toEqual([]);
    const later = { product_id: 7, items: [{ id: 7 }], url: '/api/products/7/reviews?of=7' };
    const laterThere = { product_id: 9, items: [{ id: 9 }], url: '/api/products/9/reviews?of=9' };
    expect(differencesOf(later, laterThere, { identities: ['$.id'] }, map)).toEqual([]);
  });

  test('are learnt from Location, which then is no difference', () => {
    const map = createIdentityMap();
    const { differences } = compareAnswers(
      created({}, '/api/products/7'),
      created({}, '/api/products/9'),
      rulesOf(),
      map,
    );
    expect(differences).toEqual([]);
    expect(map.paired(7, 9)).toBe(true);
    expect(map.paired('7', 9)).toBe(true);
  });

  test('do not excuse numbers that are no ids', () => {
    const map = createIdentityMap();
    map.pair(7, 9);
    expect(differencesOf({ quantity: 7 }, { quantity: 9 }, {}, map)).toHaveLength(1);
    expect(differencesOf({ paid: 7 }, { paid: 9 }, {}, map)).toHaveLength(1);
    expect(differencesOf({ order_id: 7 }, { order_id: 9 }, {}, map)).toEqual([]);
    expect(differencesOf({ orderId: 7 }, { orderId: 9 }, {}, map)).toEqual([]);
    expect(differencesOf({ ids: [7] }, { ids: [9] }, {}, map)).toEqual([]);
  });

  test('that are long texts are known anywhere', () => {
    const map = createIdentityMap();
    map.pair('6f1c9a1e-0000', '77aa0b2d-1111');
    expect(differencesOf({ reference: '6f1c9a1e-0000' }, { reference: '77aa0b2d-1111' }, {}, map)).toEqual([]);
  });

  test('are not learnt where nothing was made: another product is another product', () => {
    const map = createIdentityMap();
    expect(compareAnswers(answering({ id: 7 }), answering({ id: 9 }), rules, map).differences).toHaveLength(1);
    expect(map.size()).toBe(0);
  });

  test('are not learnt from elements that merely stand elsewhere', () => {
    const map = createIdentityMap();
    learnIdentities(created({ items: [{ id: 1 }, { id: 2 }] }), created({ items: [{ id: 2 }, { id: 1 }] }), rules, map);
    learnIdentities(created({ items: [{ id: 1 }] }), created({ items: [{ id: 3 }, { id: 4 }] }), rules, map);
    expect(map.size()).toBe(0);
    learnIdentities(created({ items: [{ id: 1 }, { id: 5 }] }), created({ items: [{ id: 1 }, { id: 6 }] }), rules, map);
    expect(map.paired(5, 6)).toBe(true);
  });

  test('once paired stay so: a second meaning is a difference', () => {
    const map = createIdentityMap();
    compareAnswers(created({ id: 7 }), created({ id: 9 }), rules, map);
    expect(compareAnswers(created({ id: 7 }), created({ id: 11 }), rules, map).differences).toMatchObject([
      { path: '$.id', monolith: 7, service: 11 },
    ]);
  });

  test('at any depth are found', () => {
    const map = createIdentityMap();
    learnIdentities(created({ a: [{ reviewId: 'x' }] }), created({ a: [{ reviewId: 'y' }] }), rules, map);
    expect(map.paired('x', 'y')).toBe(true);
  });

  test('pair elements of keyed arrays and keys of events', () => {
    const map = createIdentityMap();
    map.pair(7, 9);
    const compare = { keyed: { $: 'id' } };
    expect(differencesOf([{ id: 1 }, { id: 7, a: 1 }], [{ id: 1 }, { id: 9, a: 1 }], compare, map)).toEqual([]);
    const event = (key: string) => ({ effects: { events: [{ type: 't', key, payload: null }] } });
    const compared = compareAnswers(answering(1, event('7')), answering(1, event('9')), rules, map);
    expect(compared.differences).toEqual([]);
  });
});
