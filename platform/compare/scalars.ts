import { decimalOf, isExactNumber } from './exact-json.ts';

export type JsonType = 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object' | 'absent';

export const jsonTypeOf = (value: unknown): JsonType => {
  if (value === null) return 'null';
  if (value === undefined) return 'absent';
  if (Array.isArray(value)) return 'array';
  if (isExactNumber(value)) return 'number';
  const type = typeof value;
  return type === 'object' || type === 'number' || type === 'string' || type === 'boolean' ? type : 'absent';
};

export const isScalar = (value: unknown): boolean => {
  const type = jsonTypeOf(value);
  return type !== 'array' && type !== 'object';
};

/** A number's or number-like text's one spelling; null for anything else. */
export const decimalOfValue = (value: unknown): string | null => {
  if (isExactNumber(value)) return decimalOf(value.rawJSON);
  if (typeof value === 'number') return decimalOf(String(value));
  return typeof value === 'string' ? decimalOf(value) : null;
};

/** Equal as JSON: numbers by their value to the last digit, text to the letter. */
export const equalScalars = (one: unknown, other: unknown): boolean => {
  // Not Object.is: JSON has no use for -0, and no NaN.
  if (one === other) return true;
  if (jsonTypeOf(one) !== 'number' || jsonTypeOf(other) !== 'number') return false;
  if (Number.isNaN(one) && Number.isNaN(other)) return true;
  const decimal = decimalOfValue(one);
  return decimal !== null && decimal === decimalOfValue(other);
};

/** Equal as decimals, whether text or number. */
export const equalDecimals = (one: unknown, other: unknown): boolean => {
  const decimal = decimalOfValue(one);
  return decimal !== null && decimal === decimalOfValue(other);
};

/** Equal as instants within a tolerance; false where either is none. */
export const equalInstants = (one: unknown, other: unknown, toleranceMs: number): boolean => {
  const [oneMs, otherMs] = [instantMs(one), instantMs(other)];
  return oneMs !== null && otherMs !== null && Math.abs(oneMs - otherMs) <= toleranceMs;
};

// ISO 8601 as RFC 3339 has it, and as SQL prints it; HTTP's own form.
const isoForm = /^\d{4}-\d{2}-\d{2}(?:[Tt ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:[Zz]|[+-]\d{2}:?\d{2})?)?$/;
const httpForm = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;
// Seconds of 2001 to 2286 have ten digits, milliseconds thirteen.
const leastMillis = 1e11;

const instantMs = (value: unknown): number | null => {
  if (typeof value === 'number') return Math.abs(value) < leastMillis ? value * 1000 : value;
  if (typeof value !== 'string') return null;
  if (httpForm.test(value)) return Date.parse(value);
  if (!isoForm.test(value)) return null;
  const text = value.replace(' ', 'T').replace(',', '.');
  // Without a zone it is read as UTC on both sides: what matters is that both are read alike.
  const ms = Date.parse(/([Zz]|[+-]\d{2}:?\d{2})$/.test(text) || !/[Tt]/.test(text) ? text : `${text}Z`);
  return Number.isNaN(ms) ? null : ms;
};
