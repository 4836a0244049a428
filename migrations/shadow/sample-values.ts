import { randomUUID } from 'node:crypto';
import type { ApiParameter, JsonSchema } from '../openapi/operation.ts';

/** Values that a parameter may have, the likeliest to be right first; none where only a person can know. */
export const valuesOf = ({ schema, examples }: Pick<ApiParameter, 'schema' | 'examples'>): string[] => {
  const told = [...examples, ...toldBySchema(schema)].map(textOf).filter((text) => text !== null);
  return [...new Set(told.length > 0 ? told : guessedBySchema(schema))];
};

/** What a body may be: examples first, else made member by member; undefined where only a person can know. */
export const bodyOf = (schema: JsonSchema, depth = 0): unknown => {
  const [told] = toldBySchema(schema);
  if (told !== undefined) return told;
  if (depth > 6) return undefined;
  const parts = schema.allOf ?? [];
  const one = (schema.oneOf ?? schema.anyOf)?.[0];
  if (one !== undefined) return bodyOf(one, depth + 1);
  if (schema.properties !== undefined || parts.length > 0) {
    const merged = parts
      .map((part) => bodyOf(part, depth + 1))
      .filter((part) => part !== null && typeof part === 'object');
    const required = schema.required ?? [];
    const own = required.map((name) => [name, bodyOf(schema.properties?.[name] ?? {}, depth + 1)] as const);
    if (own.some(([, value]) => value === undefined)) return undefined;
    return Object.assign({}, ...merged, Object.fromEntries(own));
  }
  switch (typeOf(schema)) {
    case 'array': {
      const element = bodyOf(schema.items ?? {}, depth + 1);
      return element === undefined
        ? schema.minItems
          ? undefined
          : []
        : Array.from({ length: schema.minItems ?? 0 }, () => element);
    }
    case 'object':
      return {};
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return true;
    case 'string':
      return schema.format === 'email' ? `${unique()}@example.org` : guessedText(schema);
    default:
      return undefined;
  }
};

const toldBySchema = (schema: JsonSchema): unknown[] =>
  [schema.example, ...(schema.examples ?? []), schema.default, schema.const, ...(schema.enum ?? [])].filter(
    (value) => value !== undefined,
  );

const guessedBySchema = (schema: JsonSchema): string[] => {
  switch (typeOf(schema)) {
    case 'boolean':
      return ['true', 'false'];
    case 'integer':
    case 'number': {
      const least = schema.minimum ?? 1;
      const most = schema.maximum ?? least + 1_000;
      return [least, Math.min(least + 1, most), Math.min(least + 10, most)].map(String);
    }
    case 'string': {
      const text = guessedText(schema);
      return text === undefined ? [] : [text];
    }
    default:
      return [];
  }
};

const guessedText = ({ pattern, format, minLength = 1, maxLength = 40 }: JsonSchema): string | undefined => {
  if (format === 'date-time') return new Date().toISOString();
  if (format === 'date') return new Date().toISOString().slice(0, 10);
  if (format === 'uuid') return randomUUID();
  if (format !== undefined && format !== 'password') return undefined;
  const candidates = [unique(), unique().toUpperCase(), 'a', 'A', '1'].map((text) =>
    text.padEnd(minLength, 'a').slice(0, maxLength),
  );
  return candidates.find((text) => pattern === undefined || matches(pattern, text));
};

const matches = (pattern: string, text: string): boolean => {
  try {
    return new RegExp(pattern, 'u').test(text);
  } catch {
    return false;
  }
};

const unique = (): string => `s${randomUUID().slice(0, 8)}`;

const typeOf = ({ type }: JsonSchema): string | undefined =>
  typeof type === 'object' ? type.find((one) => one !== 'null') : type;

const textOf = (value: unknown): string | null =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : null;
