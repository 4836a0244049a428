import type { z } from 'zod';

/** What a zod error map is given: an issue that has no message yet. */
export type RawIssue = z.core.$ZodRawIssue;

const typeNames: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'an integer',
  boolean: 'true or false',
  bigint: 'an integer',
  date: 'a date',
  array: 'an array',
  tuple: 'an array',
  object: 'an object',
  record: 'an object',
  null: 'null',
  undefined: 'absent',
  never: 'absent',
};

const formatNames: Record<string, string> = {
  email: 'an e-mail address',
  url: 'a URL',
  uuid: 'a UUID',
  guid: 'a UUID',
  datetime: 'an ISO 8601 date and time',
  date: 'an ISO 8601 date',
  time: 'an ISO 8601 time',
  duration: 'an ISO 8601 duration',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
  base64: 'base64',
  base64url: 'base64url',
  jwt: 'a JWT',
};

/**
 * One message for one zod issue. The messages are part of the public contract of every API here, and another service
 * has to repeat them to the letter: they are made from issue codes, so that a new zod cannot change them.
 * To be passed as `error` to `safeParse`; a message given in the schema itself goes before it.
 */
export function issueMessage(issue: RawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'is required' : `must be ${typeNames[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return issue.input === undefined ? 'is required' : `must be ${oneOf(issue.values)}`;
    case 'too_small':
      return sizeMessage(issue.origin, Number(issue.minimum), { bound: 'lower', ...issue });
    case 'too_big':
      return sizeMessage(issue.origin, Number(issue.maximum), { bound: 'upper', ...issue });
    case 'invalid_format':
      return formatMessage(issue);
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'unrecognized_keys':
      return 'is not known';
    case 'invalid_union':
      return issue.input === undefined ? 'is required' : unionMessage(issue.errors);
    case 'invalid_key':
      return 'has a key that is not valid';
    default:
      return 'is not valid';
  }
}

function oneOf(values: readonly unknown[]): string {
  const shown = values.map((value) => JSON.stringify(value));
  return shown.length === 1 ? `${shown[0]}` : `one of ${shown.join(', ')}`;
}

/** `null` for a number, a size's unit for what is counted. */
function unitOf(origin: string, count: number): string | null {
  if (origin === 'string') return count === 1 ? 'character' : 'characters';
  if (origin === 'array' || origin === 'set' || origin === 'map') return count === 1 ? 'item' : 'items';
  if (origin === 'file') return count === 1 ? 'byte' : 'bytes';
  return null;
}

function sizeMessage(
  origin: string,
  size: number,
  how: { bound: 'lower' | 'upper'; inclusive?: boolean; exact?: boolean },
): string {
  const unit = unitOf(origin, size);
  if (unit !== null) {
    const limit = how.exact ? 'exactly' : how.bound === 'lower' ? 'at least' : 'at most';
    return origin === 'string' ? `must be ${limit} ${size} ${unit} long` : `must have ${limit} ${size} ${unit}`;
  }
  const bound = origin === 'date' ? new Date(size).toISOString() : `${size}`;
  if (how.bound === 'lower') return how.inclusive ? `must be at least ${bound}` : `must be greater than ${bound}`;
  return how.inclusive ? `must be at most ${bound}` : `must be less than ${bound}`;
}

function formatMessage(issue: { format: string; prefix?: unknown; suffix?: unknown; includes?: unknown }): string {
  const name = formatNames[issue.format];
  if (name !== undefined) return `must be ${name}`;
  if (issue.format === 'starts_with') return `must start with ${JSON.stringify(issue.prefix)}`;
  if (issue.format === 'ends_with') return `must end with ${JSON.stringify(issue.suffix)}`;
  if (issue.format === 'includes') return `must contain ${JSON.stringify(issue.includes)}`;
  return 'does not have the expected format';
}

function unionMessage(branches: readonly (readonly z.core.$ZodIssue[])[] = []): string {
  const types = branches.map((issues) => {
    const [only] = issues;
    const isType = issues.length === 1 && only?.code === 'invalid_type' && only.path.length === 0;
    return isType ? (typeNames[only.expected] ?? only.expected) : undefined;
  });
  const named = types.every((type) => type !== undefined) && types.length > 0;
  return named ? `must be ${[...new Set(types)].join(' or ')}` : 'does not match any of the accepted forms';
}
