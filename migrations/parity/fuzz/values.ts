import fc, { type Arbitrary } from 'fast-check';
import type { JsonSchema } from '../../openapi/operation.ts';
import type { Twist, ValuePlan } from './plan.ts';

/** Few words, so that values meet again: as names that are taken, and as what is searched for. */
const words = [
  'Lamp',
  'lamp',
  'Chair 2',
  'Çédille',
  'Ünder',
  'a',
  'Zoo b',
  'red',
  'LAMP shade',
  '100%',
  'a_b',
  "O'Hara",
];
const awkward = [
  '',
  ' ',
  '  two  spaces ',
  'tab\there',
  'line\nbreak',
  '\u0000',
  '\ud800',
  'e\u0301',
  '😀',
  '"\\',
  '%',
  '_',
  'ß',
  '<b>',
];

const typeOf = (schema: JsonSchema): string => {
  const { type } = schema;
  const types = (typeof type === 'string' ? [type] : [...(type ?? [])]).filter((one) => one !== 'null');
  if (types[0] !== undefined) return types[0];
  if (schema.properties) return 'object';
  if (schema.items) return 'array';
  return schema.pattern !== undefined || schema.maxLength !== undefined ? 'string' : 'any';
};

const allowsNull = ({ type, nullable }: JsonSchema): boolean =>
  nullable === true || (Array.isArray(type) && (type as readonly string[]).includes('null'));

/** Values that fit a schema, with its bounds among them more often than chance would have it. */
export function fitting(schema: JsonSchema): Arbitrary<unknown> {
  const value = fittingType(schema);
  return allowsNull(schema) ? fc.oneof({ weight: 2, arbitrary: value }, fc.constant(null)) : value;
}

function fittingType(schema: JsonSchema): Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...schema.enum);
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices && choices.length > 0) return fc.oneof(...choices.map(fitting));
  if (schema.allOf) return fitting(Object.assign({}, ...schema.allOf) as JsonSchema);
  switch (typeOf(schema)) {
    case 'integer':
      return integers(schema);
    case 'number':
      return numbers(schema);
    case 'boolean':
      return fc.boolean();
    case 'string':
      return texts(schema);
    case 'array':
      return fc.array(fitting(schema.items ?? {}), {
        minLength: schema.minItems ?? 0,
        maxLength: Math.min(schema.maxItems ?? 3, 4),
      });
    case 'object':
      return objects(schema);
    default:
      return fc.oneof(fc.constantFrom(...words), fc.integer({ min: 0, max: 9 }), fc.boolean());
  }
}

function integers({ minimum, maximum }: JsonSchema): Arbitrary<number> {
  const min = Math.ceil(minimum ?? -1000);
  const max = Math.floor(maximum ?? Math.max(min, 2 ** 31));
  return fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min, max: Math.min(max, min + 5) }) },
    { weight: 2, arbitrary: fc.integer({ min, max: Math.min(max, min + 3000) }) },
    fc.integer({ min, max }),
    fc.constantFrom(min, max),
  );
}

function numbers({ minimum = -1000, maximum = 1_000_000 }: JsonSchema): Arbitrary<number> {
  const min = Math.ceil(minimum * 100);
  const max = Math.floor(maximum * 100);
  return fc.oneof(
    fc.integer({ min, max: Math.min(max, min + 2000) }).map((cents) => cents / 100),
    fc.constantFrom(minimum, maximum),
  );
}

function texts({ pattern, minLength = 0, maxLength = 1000, format }: JsonSchema): Arbitrary<string> {
  if (format === 'date-time') return fc.constantFrom('2026-01-02T03:04:05.678Z', '2020-02-29T23:59:59.999Z');
  if (pattern !== undefined) {
    const matching = new RegExp(pattern, 'u');
    const fits = (text: string) => matching.test(text) && text.length >= minLength && text.length <= maxLength;
    const known = ['A', 'B1', 'C-2', 'a', 'b', 'garden', 'tools-2', 'EUR', 'USD', '1', 'x1', 'colour'].filter(fits);
    const made = fc.stringMatching(matching, { size: 'small' }).filter(fits);
    return known.length === 0 ? made : fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...known) }, made);
  }
  const fits = (text: string) => text.length >= minLength && text.length <= maxLength;
  const short = fc.constantFrom(...words.filter(fits).concat('x'.repeat(Math.max(1, minLength))));
  return fc.oneof(
    { weight: 8, arbitrary: short },
    fc.constantFrom(...awkward.filter(fits).concat('x'.repeat(Math.max(1, minLength)))),
    fc.constantFrom('é'.repeat(Math.min(maxLength, 3000)), 'x'.repeat(Math.max(1, minLength))),
    fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, minLength + 12) }).filter(fits),
  );
}

function objects({
  properties = {},
  required = [],
  additionalProperties,
  propertyNames,
}: JsonSchema): Arbitrary<object> {
  const own = fc.record(Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, fitting(one)])), {
    requiredKeys: [...required],
  });
  if (typeof additionalProperties !== 'object') return own;
  const name = propertyNames === undefined ? fc.constantFrom('a', 'size', 'colour_2') : texts(propertyNames);
  const more = fc.dictionary(name, fitting(additionalProperties), { maxKeys: 3 });
  return fc.tuple(own, more).map(([one, other]) => ({ ...other, ...one }));
}

/** Values that do not fit: of another type, beyond a bound, of another form. */
export function unfitting(schema: JsonSchema): Arbitrary<unknown> {
  const wrong: unknown[] = [null, [], {}, 'text', '7', 7, 1.5, true, -1, ''].filter((value) => !isOf(schema, value));
  const { minimum, maximum, maxLength, minLength } = schema;
  if (minimum !== undefined) wrong.push(minimum - 1, minimum - 0.5);
  if (maximum !== undefined) wrong.push(maximum + 1, `${maximum}`);
  if (maxLength !== undefined && maxLength < 20_000) wrong.push('x'.repeat(maxLength + 1));
  if (minLength !== undefined && minLength > 0) wrong.push('x'.repeat(minLength - 1), ' '.repeat(minLength));
  if (schema.pattern !== undefined) wrong.push('!', 'a b', 'ä', ' ');
  if (typeOf(schema) === 'string') wrong.push('\u0000', '\ud800');
  if (schema.enum) wrong.push('none-of-these');
  return fc.constantFrom(...wrong);
}

function isOf(schema: JsonSchema, value: unknown): boolean {
  const type = typeOf(schema);
  if (value === null) return allowsNull(schema);
  if (Array.isArray(value)) return type === 'array';
  if (type === 'integer') return Number.isInteger(value);
  return type === 'any' || typeof value === type;
}

const twists: readonly Twist[] = ['same', 'same', 'same', 'upper', 'lower', 'prefix', 'more', 'less'];

/** A value for a member or a parameter: often one that an answer has shown under that name, else one that fits. */
export function planned(name: string, schema: JsonSchema): Arbitrary<ValuePlan> {
  const literal = fitting(schema).map((value): ValuePlan => ({ kind: 'literal', value }));
  const type = typeOf(schema);
  if (schema.enum || type === 'boolean' || type === 'object' || type === 'array') return literal;
  const seen = fc
    .record({
      pick: fc.oneof(fc.nat({ max: 6 }), fc.nat({ max: 300 })),
      twist: fc.constantFrom(...twists),
      otherwise: fitting(schema),
    })
    .map((plan): ValuePlan => ({ kind: 'seen', name, ...plan }));
  // What refers to something else must mostly be there.
  const refers = /_ids?$|Ids?$/.test(name);
  return fc.oneof({ weight: refers ? 9 : 3, arbitrary: seen }, { weight: refers ? 1 : 5, arbitrary: literal });
}
