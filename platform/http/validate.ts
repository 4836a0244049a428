import type { Request } from 'express';
import { z } from 'zod';
import { issueMessage } from './issue-messages.ts';
import { type FieldError, problems } from './problem.ts';

type Part = 'body' | 'query' | 'params';

/** More errors than these are not told. */
const mostErrors = 100;

/** The request's JSON body as the schema says. Throws Problem 400 with every error, or 415 for another media type. */
export function parseBody<S extends z.ZodType>(schema: S, req: Request): z.output<S> {
  if (req.body === undefined && hasBody(req) && !req.is('json') && !req.is('+json')) {
    throw problems.unsupportedMediaType('The body must be application/json.');
  }
  return parsePart('body', schema, req.body);
}

/** The query as the schema says; values are texts, see `integerText`. Throws Problem 400 with every error. */
export function parseQuery<S extends z.ZodType>(schema: S, req: Request): z.output<S> {
  return parsePart('query', schema, { ...req.query });
}

/** The route's parameters as the schema says; values are texts, see `idText`. Throws Problem 400 with every error. */
export function parseParams<S extends z.ZodType>(schema: S, req: Request): z.output<S> {
  return parsePart('params', schema, { ...req.params });
}

/** A value by a schema. Throws Problem 400, title `Validation failed`, with one entry in `errors` for each bad value. */
export function parsePart<S extends z.ZodType>(part: Part, schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value, {
    error: (issue) => (repeated(part, issue) ? 'must be given once' : issueMessage(issue)),
  });
  if (parsed.success) return parsed.data;
  throw problems.validation(fieldErrors(part, parsed.error.issues));
}

/** In order of path and message, which no change of the validating library can alter. */
function fieldErrors(part: Part, issues: readonly z.core.$ZodIssue[]): FieldError[] {
  const errors = issues.flatMap((issue): FieldError[] =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ in: part, path: pathText([...issue.path, key]), message: issue.message }))
      : [{ in: part, path: pathText(issue.path), message: issue.message }],
  );
  const key = (error: FieldError) => `${error.path}\0${error.message}`;
  const unique = new Map(errors.map((error) => [key(error), error]));
  return [...unique.values()].sort((a, b) => (key(a) < key(b) ? -1 : 1)).slice(0, mostErrors);
}

/** `items[0].quantity`; the empty text for the whole. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += text === '' ? String(step) : `.${String(step)}`;
  }
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}

function repeated(part: Part, issue: z.core.$ZodRawIssue): boolean {
  if (part !== 'query' || !Array.isArray(issue.input)) return false;
  return issue.code === 'invalid_value' || (issue.code === 'invalid_type' && issue.expected === 'string');
}

function hasBody(req: Request): boolean {
  return req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0;
}

/**
 * An integer from a query or a path: decimal digits only. (`z.coerce.number` takes the empty text for 0 and `0x10`
 * for 16.)
 */
export function integerText({ min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = {}) {
  return z.string().transform((text, context): number => {
    const value = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    const message = !Number.isSafeInteger(value)
      ? 'must be an integer'
      : value < min
        ? `must be at least ${min}`
        : value > max
          ? `must be at most ${max}`
          : undefined;
    if (message === undefined) return value;
    context.issues.push({ code: 'custom', message, input: text });
    return z.NEVER;
  });
}

/** An id in a path: an integer of at least 1. */
export function idText() {
  return integerText({ min: 1 });
}

/** `true` or `false` in a query. */
export function booleanText() {
  return z
    .enum(['true', 'false'], {
      error: (issue) => (issue.input === undefined ? 'is required' : 'must be true or false'),
    })
    .transform((text) => text === 'true');
}
