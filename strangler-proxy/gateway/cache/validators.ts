import {
  type AnswerHead,
  type CacheRequest,
  dateOf,
  type HeaderLines,
  headerOf,
  requestHeader,
  type StoredAnswer,
} from './answer.ts';

export function hasValidator({ headers }: Pick<AnswerHead, 'headers'>): boolean {
  return headerOf(headers, 'etag') !== undefined || dateOf(headerOf(headers, 'last-modified')) !== undefined;
}

/** The headers by which the origin is asked whether a kept answer is still the present one (RFC 9111 §4.3.1). */
export function validationHeaders({ headers }: Pick<AnswerHead, 'headers'>): Record<string, string> {
  const asking: Record<string, string> = {};
  const tag = headerOf(headers, 'etag');
  const modified = headerOf(headers, 'last-modified');
  if (tag !== undefined) asking['If-None-Match'] = tag;
  if (modified !== undefined) asking['If-Modified-Since'] = modified;
  return asking;
}

/** Headers of a request by which its sender asks for an answer only under a condition. */
export const conditionNames = [
  'if-none-match',
  'if-modified-since',
  'if-match',
  'if-unmodified-since',
  'if-range',
] as const;

/**
 * Whether the client has this answer already, by the conditions of its request (RFC 9110 §13.2.2): then it is told 304. A
 * `Last-Modified` counts only where there is no `If-None-Match`, and only for an answer of 200.
 */
export function clientHasIt(
  request: CacheRequest,
  { status, headers }: Pick<AnswerHead, 'status' | 'headers'>,
): boolean {
  if (status !== 200) return false;
  const tags = requestHeader(request, 'if-none-match');
  if (tags !== undefined) {
    if (tags.trim() === '*') return true;
    const own = headerOf(headers, 'etag');
    return own !== undefined && entityTags(tags).some((tag) => weakly(tag) === weakly(own));
  }
  const sinceMs = dateOf(requestHeader(request, 'if-modified-since'));
  const modifiedMs = dateOf(headerOf(headers, 'last-modified'));
  return sinceMs !== undefined && modifiedMs !== undefined && modifiedMs <= sinceMs;
}

/** Commas may stand within a tag. */
function entityTags(list: string): string[] {
  return list.match(/(?:W\/)?"[^"]*"/g) ?? [];
}

const weakly = (tag: string): string => tag.trim().replace(/^W\//, '');

/** What a 304 says (RFC 9110 §15.4.5); headers that describe a body it has not would mislead. */
const namesOf304: ReadonlySet<string> = new Set([
  'cache-control',
  'content-location',
  'date',
  'etag',
  'expires',
  'last-modified',
  'vary',
]);

export function headersOf304(headers: HeaderLines): HeaderLines {
  return headers.filter(([name]) => namesOf304.has(name.toLowerCase()));
}

/** Never taken from a 304: they are of the body that is kept (RFC 9111 §3.2), or of the connection. */
const keptFromBody: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'transfer-encoding',
]);

/** Whether a 304 is about this kept answer (RFC 9111 §4.3.4): it names no other tag. */
export function isAbout(stored: Pick<AnswerHead, 'headers'>, head304: Pick<AnswerHead, 'headers'>): boolean {
  const [own, told] = [headerOf(stored.headers, 'etag'), headerOf(head304.headers, 'etag')];
  return told === undefined || own === undefined || weakly(own) === weakly(told);
}

/** The kept answer with what a 304 says of it, as new as that. */
export function freshened(stored: StoredAnswer, head304: AnswerHead): StoredAnswer {
  const said = head304.headers.filter(([name]) => !keptFromBody.has(name.toLowerCase()));
  const saidNames = new Set(said.map(([name]) => name.toLowerCase()));
  return {
    ...stored,
    // An `Age` is of the answer that it came with.
    headers: [
      ...stored.headers.filter(([name]) => !saidNames.has(name.toLowerCase()) && name.toLowerCase() !== 'age'),
      ...said,
    ],
    requestedAtMs: head304.requestedAtMs,
    receivedAtMs: head304.receivedAtMs,
  };
}
