import { z } from 'zod';
import type { JsonSchema } from './operation.ts';
import { at, type Document, elementsOf, membersOf, type Place, readAs } from './place.ts';

const count = z.int().nonnegative().optional();
const names = z.array(z.string());
const bound = z.union([z.number(), z.boolean()]).optional();

/** The keywords that values are made by; what is within is read one by one, for it may be a reference. */
const schemaShape = z.looseObject({
  type: z.union([z.string(), names.min(1)]).optional(),
  enum: z.array(z.unknown()).min(1).optional(),
  examples: z.array(z.unknown()).optional(),
  nullable: z.boolean().optional(),
  format: z.string().optional(),
  pattern: z.string().optional(),
  minLength: count,
  maxLength: count,
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  exclusiveMinimum: bound,
  exclusiveMaximum: bound,
  minItems: count,
  maxItems: count,
  maxProperties: count,
  required: names.optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  allOf: z.array(z.unknown()).optional(),
  anyOf: z.array(z.unknown()).optional(),
  oneOf: z.array(z.unknown()).optional(),
});

/** A schema may hold itself, in a tree for instance: deeper than this it allows anything. */
const deepest = 6;

/** A schema without references; `true`, `false` and none allow anything. @throws ApiDescriptionError */
export const readSchema = (document: Document, from: Place, depth = 0): JsonSchema => {
  if (depth > deepest || from.value === undefined || typeof from.value === 'boolean') return {};
  const { place, value } = readAs(document, from, schemaShape);
  const within = (one: Place): JsonSchema => readSchema(document, one, depth + 1);
  const read: Record<string, unknown> = { ...value };
  for (const name of ['items', 'propertyNames', 'additionalProperties']) {
    if (value[name] !== undefined && typeof value[name] !== 'boolean') read[name] = within(at(place, name));
  }
  for (const name of ['allOf', 'anyOf', 'oneOf']) {
    if (value[name] !== undefined) read[name] = elementsOf(at(place, name)).map(within);
  }
  if (value.properties !== undefined) {
    read.properties = Object.fromEntries(membersOf(at(place, 'properties')).map(([name, one]) => [name, within(one)]));
  }
  return read as JsonSchema;
};
