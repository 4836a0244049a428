import { describe, expect, test } from '@jest/globals';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { closed } from '../testing/event-schemas.ts';
import { compatibilityFaults, type EventSchema } from './compatibility.ts';

const item = { type: 'object', properties: { sku: { type: 'string' }, n: { type: 'integer' } }, required: ['sku'] };
const base = {
  type: 'object',
  properties: {
    id: { type: 'integer', minimum: 1 },
    state: { type: 'string', enum: ['open', 'shut'] },
    note: { type: ['string', 'null'], maxLength: 10 },
    items: { type: 'array', items: item },
  },
  required: ['id', 'items'],
};
const withMembers = (members: Record<string, EventSchema>, required = base.required): EventSchema => ({
  ...base,
  properties: { ...base.properties, ...members },
  required,
});
const withItem = (changed: EventSchema) => withMembers({ items: { type: 'array', items: changed } });

describe('a newer version is compatible', () => {
  test.each<[string, EventSchema]>([
    ['that changes nothing', base],
    ['that says the same in other words', { ...base, title: 'T', description: 'D', $id: 'urn:x', examples: [{}] }],
    [
      'that lists the same alternatives in another order',
      withMembers({ state: { type: 'string', enum: ['shut', 'open'] } }),
    ],
    ['that adds what may be missing', withMembers({ extra: { type: 'string' } })],
    ['that adds what may be missing further in', withItem({ ...item, properties: { ...item.properties, extra: {} } })],
  ])('%s', (_what, newer) => {
    expect(compatibilityFaults(base, newer)).toEqual([]);
  });
});

describe('a newer version is refused', () => {
  test.each<[string, EventSchema, string[]]>([
    [
      'that takes a member away',
      { ...base, properties: { id: base.properties.id, state: base.properties.state, items: base.properties.items } },
      ['data.note: is gone'],
    ],
    [
      'that adds a required member',
      withMembers({ extra: {} }, ['id', 'items', 'extra']),
      ['data.extra: is new, and required'],
    ],
    [
      'that requires a name it does not describe',
      withMembers({}, ['id', 'items', 'x']),
      ['data.x: is new, and required'],
    ],
    [
      'that requires what could be missing',
      withMembers({}, ['id', 'items', 'note']),
      ['data.note: could be missing, is required'],
    ],
    ['that lets a required member be missing', withMembers({}, ['items']), ['data.id: was required, may be missing']],
    [
      'that narrows a type',
      withMembers({ note: { type: 'string', maxLength: 10 } }),
      ['data.note: type was ["null", "string"], is "string"'],
    ],
    [
      'that widens a type',
      withMembers({ id: { type: 'number', minimum: 1 } }),
      ['data.id: type was "integer", is "number"'],
    ],
    [
      'that narrows an enumeration',
      withMembers({ state: { type: 'string', enum: ['open'] } }),
      ['data.state: enum was ["open", "shut"], is ["open"]'],
    ],
    [
      'that widens an enumeration',
      withMembers({ state: { type: 'string', enum: ['open', 'shut', 'ajar'] } }),
      ['data.state: enum was ["open", "shut"], is ["ajar", "open", "shut"]'],
    ],
    ['that moves a bound', withMembers({ id: { type: 'integer', minimum: 0 } }), ['data.id: minimum was 1, is 0']],
    [
      'that adds a bound',
      withMembers({ id: { type: 'integer', minimum: 1, maximum: 9 } }),
      ['data.id: maximum was not there, is 9'],
    ],
    [
      'that no longer says of what a list is',
      withMembers({ items: { type: 'array' } }),
      [`data.items[]: was ${JSON.stringify(item)}, is not there`],
    ],
    [
      'that breaks with its readers further in',
      withItem({ ...item, properties: { sku: { type: 'integer' } }, required: [] }),
      [
        'data.items[].sku: type was "string", is "integer"',
        'data.items[].sku: was required, may be missing',
        'data.items[].n: is gone',
      ],
    ],
    [
      'that is closed',
      { ...base, additionalProperties: false },
      ['data: additionalProperties is a keyword that cannot be compared; do without it'],
    ],
  ])('%s', (_what, newer, faults) => {
    expect(compatibilityFaults(base, newer)).toEqual(faults);
  });

  test('even if it stays as it is, where it is described in ways that cannot be compared', () => {
    const schema = { anyOf: [{ type: 'string' }] };
    expect(compatibilityFaults(schema, schema)).toHaveLength(1);
  });
});

type Member = { schema: Described; required: boolean };
type Described =
  | { kind: 'integer'; minimum: number }
  | { kind: 'text'; maxLength: number }
  | { kind: 'list'; of: Described }
  | { kind: 'object'; members: Record<string, Member> };

const { described } = fc.letrec<{ described: Described; member: Member }>((tie) => ({
  described: fc.oneof(
    { maxDepth: 3 },
    fc.record({ kind: fc.constant('integer' as const), minimum: fc.integer({ min: 0, max: 2 }) }),
    fc.record({ kind: fc.constant('text' as const), maxLength: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ kind: fc.constant('list' as const), of: tie('described') }),
    fc.record({
      kind: fc.constant('object' as const),
      members: fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), tie('member'), { maxKeys: 3 }),
    }),
  ),
  member: fc.record({ schema: tie('described'), required: fc.boolean() }),
}));

function schemaOf(what: Described): EventSchema {
  switch (what.kind) {
    case 'integer':
      return { type: 'integer', minimum: what.minimum };
    case 'text':
      return { type: 'string', maxLength: what.maxLength };
    case 'list':
      return { type: 'array', items: schemaOf(what.of) };
    case 'object': {
      const members = Object.entries(what.members);
      return {
        type: 'object',
        properties: Object.fromEntries(members.map(([name, { schema }]) => [name, schemaOf(schema)])),
        required: members.flatMap(([name, { required }]) => (required ? [name] : [])),
      };
    }
  }
}

/** Values as a program writes them that knows this description: nothing in them that it does not name. */
function writtenBy(what: Described): fc.Arbitrary<unknown> {
  switch (what.kind) {
    case 'integer':
      return fc.integer({ min: what.minimum, max: 3 });
    case 'text':
      return fc.string({ maxLength: what.maxLength });
    case 'list':
      return fc.array(writtenBy(what.of), { maxLength: 2 });
    case 'object': {
      const members = Object.entries(what.members);
      return fc.record(Object.fromEntries(members.map(([name, { schema }]) => [name, writtenBy(schema)])), {
        requiredKeys: members.flatMap(([name, { required }]) => (required ? [name] : [])),
      });
    }
  }
}

/** Changes like those that people make, some of which readers can bear. */
function changed(what: Described): fc.Arbitrary<Described> {
  switch (what.kind) {
    case 'integer':
      return fc.oneof(
        { weight: 4, arbitrary: fc.constant(what) },
        fc.constant<Described>({ ...what, minimum: 1 }),
        described,
      );
    case 'text':
      return fc.oneof(
        { weight: 4, arbitrary: fc.constant(what) },
        fc.constant<Described>({ ...what, maxLength: 2 }),
        described,
      );
    case 'list':
      return changed(what.of).map((of) => ({ kind: 'list', of }));
    case 'object':
      return fc
        .tuple(
          fc.record(
            Object.fromEntries(Object.entries(what.members).map(([name, member]) => [name, changedMember(member)])),
          ),
          fc.option(fc.record({ schema: described, required: fc.boolean() }), { nil: undefined }),
          fc.option(fc.constantFrom('a', 'b', 'c', 'd'), { nil: undefined, freq: 3 }),
        )
        .map(([members, added, dropped]) => {
          const all: Record<string, Member> = { ...(added === undefined ? {} : { new: added }), ...members };
          return {
            kind: 'object',
            members: Object.fromEntries(Object.entries(all).filter(([name]) => name !== dropped)),
          };
        });
  }
}

function changedMember({ schema, required }: Member): fc.Arbitrary<Member> {
  const keptOrNot = fc.oneof({ weight: 8, arbitrary: fc.constant(required) }, fc.boolean());
  return fc.record({ schema: changed(schema), required: keptOrNot });
}

const pairs = described.chain((older) => changed(older).map((newer) => ({ older, newer })));
const ajv = new Ajv2020();
const readerOf = (schema: EventSchema): ((value: unknown) => boolean) => {
  const validate = ajv.compile(schema);
  return (value) => validate(value);
};

describe('of any two versions', () => {
  test('between which no fault is found, each reads all that is written by the other', () => {
    const bearable = pairs.filter(
      ({ older, newer }) => compatibilityFaults(schemaOf(older), schemaOf(newer)).length === 0,
    );
    fc.assert(
      fc.property(
        bearable.chain(({ older, newer }) =>
          fc.record({
            schemas: fc.constant([schemaOf(older), schemaOf(newer)] as const),
            old: fc.array(writtenBy(older), { maxLength: 5 }),
            young: fc.array(writtenBy(newer), { maxLength: 5 }),
          }),
        ),
        ({ schemas: [older, newer], old, young }) => {
          expect(old.every(readerOf(newer))).toBe(true);
          expect(young.every(readerOf(older))).toBe(true);
          expect(old.every(readerOf(closed(older)))).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('the faults are the same either way round, but for what is added and what is gone', () => {
    fc.assert(
      fc.property(pairs, ({ older, newer }) => {
        const [a, b] = [schemaOf(older), schemaOf(newer)];
        const unbearable = compatibilityFaults(a, b).filter((fault) => !/is gone|is new/.test(fault));
        const reversed = compatibilityFaults(b, a).filter((fault) => !/is gone|is new/.test(fault));
        expect(reversed.length).toBe(unbearable.length);
      }),
    );
  });
});
