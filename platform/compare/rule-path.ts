import { JsonPathError, type JsonPattern, parseJsonPattern } from './json-path.ts';

/** What a rule of a slice file speaks of. */
export type RulePath =
  | { in: 'status' }
  | { in: 'whole-body' }
  | { in: 'header'; name: string }
  | { in: 'body'; pattern: JsonPattern }
  /** `type: "*"`: every event; `pattern: null`: the event itself, not only its payload. */
  | { in: 'event'; type: string; pattern: JsonPattern | null };

/**
 * Reads `$.a[*].b`, `header etag`, `status`, `body`, `event product.changed` or `event product.changed $.price`.
 * @throws JsonPathError
 */
export const parseRulePath = (text: string): RulePath => {
  const words = text.trim();
  if (words.startsWith('$')) return { in: 'body', pattern: parseJsonPattern(words) };
  if (words === 'status') return { in: 'status' };
  if (words === 'body') return { in: 'whole-body' };
  const header = /^header ([A-Za-z0-9!#$%&'*+.^_`|~-]+)$/.exec(words);
  if (header !== null) return { in: 'header', name: header[1]!.toLowerCase() };
  const event = /^event (\S+)(?: (\$.*))?$/.exec(words);
  if (event !== null) {
    return { in: 'event', type: event[1]!, pattern: event[2] === undefined ? null : parseJsonPattern(event[2]) };
  }
  throw new JsonPathError(
    `expected $.a.path, "header <name>", "status", "body" or "event <type> $.a.path", found ${JSON.stringify(text)}`,
  );
};
