import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { answering, differencesOf, rulesOf, tellDifferences } from './answer.fixture.ts';
import { compareAnswers, mostDifferences } from './compare-answers.ts';
import { parseExactJson } from './exact-json.ts';
import { concretePath, type Step, templatedPath } from './json-path.ts';

/** JSON as a server writes it: no -0, no `__proto__` that is not a member. */
const json = fc.jsonValue({ maxDepth: 5 }).map((value) => JSON.parse(JSON.stringify(value)));
const runs = { numRuns: 300 };

/** Every place of a value, itself included. */
const placesOf = (value: unknown, at: Step[] = []): Step[][] => {
  if (Array.isArray(value)) return [at, ...value.flatMap((element, index) => placesOf(element, [...at, index]))];
  if (value === null || typeof value !== 'object') return [at];
  return [at, ...Object.entries(value).flatMap(([name, member]) => placesOf(member, [...at, name]))];
};

/** The value with what stands at a place replaced. */
const planted = (value: unknown, [step, ...rest]: readonly Step[], plant: (found: unknown) => unknown): unknown => {
  if (step === undefined) return plant(value);
  if (Array.isArray(value)) return value.map((one, index) => (index === step ? planted(one, rest, plant) : one));
  return Object.fromEntries(
    Object.entries(value as object).map(([name, one]) => [name, name === step ? planted(one, rest, plant) : one]),
  );
};

describe('laws', () => {
  test('an answer equals itself', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(differencesOf(value, structuredClone(value))).toEqual([]);
      }),
      runs,
    );
  });

  test('as much differs one way as the other', () => {
    const kinds = { missing: 'extra', extra: 'missing' } as Record<string, string>;
    const toldOf = (one: unknown, other: unknown, compare: object) => differencesOf(one, other, compare);
    for (const compare of [{}, { unordered: ['$..*', '$', '$..[*]'] }, { keyed: { $: 'id', '$..*': 'id' } }]) {
      fc.assert(
        fc.property(json, json, (one, other) => {
          const [there, back] = [toldOf(one, other, compare), toldOf(other, one, compare)];
          expect(there.map(({ kind }) => kinds[kind] ?? kind).sort()).toEqual(back.map(({ kind }) => kind).sort());
        }),
        runs,
      );
    }
  });

  test('a difference planted anywhere is found, alone, and named where it stands', () => {
    fc.assert(
      fc.property(json, fc.nat(), (value, pick) => {
        const places = placesOf(value);
        const place = places[pick % places.length]!;
        const other = planted(value, place, () => 'planted, and nowhere else');
        const told = differencesOf(value, other);
        expect(told).toHaveLength(1);
        expect(told[0]).toMatchObject({ at: concretePath(place), path: templatedPath(place) });
        expect(told[0]?.service).toBe('planted, and nowhere else');
      }),
      { numRuns: 1_000 },
    );
  });

  test('a member left out anywhere is missing there, one put in is extra there', () => {
    fc.assert(
      fc.property(json, fc.nat(), (value, pick) => {
        const objects = placesOf(value).filter((place) => {
          const found = place.reduce<unknown>((within, step) => (within as Record<Step, unknown>)[step], value);
          return found !== null && typeof found === 'object' && !Array.isArray(found);
        });
        fc.pre(objects.length > 0);
        const place = objects[pick % objects.length]!;
        const other = planted(value, place, (found) => ({ ...(found as object), planted: 1 }));
        expect(differencesOf(value, other)).toMatchObject([{ kind: 'extra', at: concretePath([...place, 'planted']) }]);
        expect(differencesOf(other, value)).toMatchObject([
          { kind: 'missing', at: concretePath([...place, 'planted']) },
        ]);
      }),
      runs,
    );
  });

  test('another order of a set is no difference, and of any other array it is one', () => {
    const elements = fc.uniqueArray(json, { minLength: 2, maxLength: 8, selector: (value) => JSON.stringify(value) });
    fc.assert(
      fc.property(
        elements.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        ([list, shuffled]) => {
          expect(differencesOf({ tags: list }, { tags: shuffled }, { unordered: ['$.tags'] })).toEqual([]);
          const told = tellDifferences({ tags: list }, { tags: shuffled });
          const same = list.every((one, at) => JSON.stringify(one) === JSON.stringify(shuffled[at]));
          expect(told).toEqual(same ? [] : ['order $.tags']);
        },
      ),
      runs,
    );
  });

  test('what a rule ignores is counted, and nothing else is hidden by it', () => {
    fc.assert(
      fc.property(json, json, fc.array(json, { maxLength: 5 }), (one, other, list) => {
        const compare = { ignore: [{ path: '$.a', route: null, reason: 'known', by: 'ada' }] };
        const [monolith, service] = [
          { a: one, b: list },
          { a: other, b: list },
        ];
        const plain = differencesOf(monolith, service).length;
        const { differences, ignored } = compareAnswers(answering(monolith), answering(service), rulesOf(compare));
        expect(differences).toEqual([]);
        expect(ignored).toEqual(plain === 0 ? [] : [{ rule: '$.a', count: expect.any(Number) }]);
        expect(differencesOf({ ...monolith, b: 1 }, { ...service, b: 2 }, compare)).toHaveLength(1);
      }),
      runs,
    );
  });
});

describe('an array', () => {
  test('with an element less differs by that element alone', () => {
    const list = [{ id: 1 }, { id: 2 }, { id: 3 }, { id: 4 }];
    expect(differencesOf(list, list.toSpliced(1, 1))).toEqual([
      { path: '$[*]', at: '$[1]', kind: 'missing', monolith: { id: 2 }, service: undefined },
    ]);
    expect(tellDifferences(list.slice(1), list)).toEqual(['extra $[*]']);
  });

  test('that has little in common with the other tells its length once', () => {
    const numbers = Array.from({ length: 500 }, (_, n) => n);
    expect(differencesOf({ items: [] }, { items: numbers })).toEqual([
      { path: '$.items', at: '$.items', kind: 'length', monolith: '0 elements', service: '500 elements' },
    ]);
  });

  test('paired by a member is compared element by element, wherever they stand', () => {
    const compare = { keyed: { '$.items': 'id' }, unordered: ['$.items'] };
    const monolith = {
      items: [
        { id: 1, n: 1 },
        { id: 2, n: 2 },
        { id: 3, n: 3 },
      ],
    };
    const service = {
      items: [
        { id: 3, n: 3 },
        { id: 1, n: 9 },
        { id: 4, n: 4 },
      ],
    };
    expect(differencesOf(monolith, service, compare)).toMatchObject([
      { kind: 'value', path: '$.items[*].n', at: '$.items[0].n', monolith: 1, service: 9 },
      { kind: 'missing', at: '$.items[1]', monolith: { id: 2, n: 2 } },
      { kind: 'extra', at: '$.items[2]', service: { id: 4, n: 4 } },
    ]);
  });

  test('paired by a member still differs by its order, unless that means nothing', () => {
    const [one, other] = [{ items: [{ id: 1 }, { id: 2 }] }, { items: [{ id: 2 }, { id: 1 }] }];
    expect(differencesOf(one, other, { keyed: { '$.items': 'id' } })).toMatchObject([
      { kind: 'order', path: '$.items', monolith: [1, 2], service: [2, 1] },
    ]);
    expect(differencesOf(one, other, { keyed: { '$.items': 'id' }, unordered: ['$.items'] })).toEqual([]);
  });

  test('paired by a member takes twins and elements without it in their order', () => {
    const compare = { keyed: { $: 'id' } };
    const list = [{ id: 1, a: 1 }, { id: 1, a: 2 }, { a: 3 }, 7];
    expect(differencesOf(list, structuredClone(list), compare)).toEqual([]);
    expect(tellDifferences(list, [{ id: 1, a: 1 }, { id: 1, a: 0 }, { a: 0 }, 7], compare)).toEqual([
      'value $[*].a',
      'value $[*].a',
    ]);
  });

  test('without order finds the partners that only the rules make equal', () => {
    const compare = { unordered: ['$'], times: { toleranceMs: 1_000, paths: ['$[*].at'] } };
    const at = (seconds: number) => ({ at: `2026-01-01T00:00:${seconds.toFixed(1).padStart(4, '0')}00Z` });
    // A greedy choice would give the first the only partner that the second can have.
    expect(differencesOf([at(1), at(0)], [at(0.9), at(1.9)], compare)).toEqual([]);
    expect(differencesOf([at(0), at(5)], [at(5), at(9)], compare)).toMatchObject([{ kind: 'value', path: '$[*].at' }]);
  });

  test('without order counts how often an element stands there', () => {
    expect(tellDifferences([1, 1, 2], [1, 2, 2], { unordered: ['$'] })).toEqual(['missing $[*]', 'extra $[*]']);
  });
});

describe('a value', () => {
  test.each<[string, unknown, unknown, string]>([
    ['null is not absent', { a: null }, {}, 'missing $.a'],
    ['a number is not its text', { a: 1 }, { a: '1' }, 'type $.a'],
    ['false is not null', [false], [null], 'type $[*]'],
    ['an empty array is not an empty object', { a: [] }, { a: {} }, 'type $.a'],
    ['text differs to the letter', 'a', 'A', 'value $'],
    ['numbers differ to the last digit', 0.30000000000000004, 0.3, 'value $'],
  ])('%s', (_claim, monolith, service, told) => {
    expect(tellDifferences(monolith, service)).toEqual([told]);
  });

  test('beyond a double’s digits is compared as it was written', () => {
    const [one, other] = ['{"id":9007199254740993}', '{"id":9007199254740992}'].map(parseExactJson);
    expect(tellDifferences(one, other)).toEqual(['value $.id']);
    expect(differencesOf(one, parseExactJson('{"id":9007199254740993}'))).toEqual([]);
    expect(
      differencesOf(parseExactJson('[1.0, 10e-1, 100000000000000000000]'), parseExactJson('[1, 1.00, 1e20]')),
    ).toEqual([]);
  });

  test('at a path for money is a decimal, whether text or number', () => {
    const compare = { money: ['$.price'] };
    for (const [one, other] of [
      ['12.50', 12.5],
      [0, '0.00'],
      ['-1.10', '-1.1'],
      ['1e2', 100],
    ]) {
      expect(differencesOf({ price: one }, { price: other }, compare)).toEqual([]);
    }
    expect(tellDifferences({ price: '12.50' }, { price: 12.51 }, compare)).toEqual(['type $.price']);
    expect(tellDifferences({ other: '1.0' }, { other: '1' }, compare)).toEqual(['value $.other']);
  });

  test('at a path for times is an instant, within the tolerance', () => {
    const compare = { times: { toleranceMs: 5_000, paths: ['$..at'] } };
    const at = '2026-01-01T00:00:00.000Z';
    for (const other of [
      '2026-01-01T01:00:04+01:00',
      '2026-01-01 00:00:05',
      1767225600,
      1767225600000,
      'Thu, 01 Jan 2026 00:00:00 GMT',
    ]) {
      expect(differencesOf({ a: [{ at }] }, { a: [{ at: other }] }, compare)).toEqual([]);
    }
    expect(tellDifferences({ at }, { at: '2026-01-01T00:00:05.001Z' }, compare)).toEqual(['value $.at']);
    expect(tellDifferences({ at }, { at: 'soon' }, compare)).toEqual(['value $.at']);
    expect(tellDifferences({ on: at }, { on: '2026-01-01T00:00:00Z' }, compare)).toEqual(['value $.on']);
  });
});

test('objects by id make one group, whatever the ids are', () => {
  const told = differencesOf({ byId: { 17: { n: 1 } } }, { byId: { 17: { n: 2 } } });
  expect(told).toMatchObject([{ path: '$.byId.*.n', at: '$.byId["17"].n' }]);
});

test('more differences than can be read are counted', () => {
  const wide = (n: number) => Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`m${at}`, n]));
  const { differences, untold } = compareAnswers(answering(wide(1)), answering(wide(2)), rulesOf());
  expect(differences).toHaveLength(mostDifferences);
  expect(untold).toBe(500 - mostDifferences);
});

test('arrays nested a hundred deep are compared in a moment', () => {
  const nest = (core: unknown): unknown => Array.from({ length: 100 }).reduce((inner) => [inner, 1], core);
  expect(differencesOf(nest('a'), nest('b'))).toHaveLength(1);
  expect(differencesOf(nest('a'), nest('b'), { unordered: ['$', '$..[*]'] })).not.toEqual([]);
});
