/** Names and values in the order and case in which they came. */
export type HeaderLines = readonly (readonly [name: string, value: string])[];

/** The head of an answer, and when it was asked for and came: milliseconds since 1970. */
export type AnswerHead = {
  status: number;
  headers: HeaderLines;
  requestedAtMs: number;
  receivedAtMs: number;
};

/** An answer as it is kept. */
export type StoredAnswer = AnswerHead & {
  body: Buffer;
  /** What `Vary` named, and what the request for it said: lower-case names, null where the header was absent. */
  selectedBy: readonly (readonly [name: string, value: string | null])[];
  /** What the route's settings said when it was kept, in seconds: for an answer that says nothing of these itself. */
  fallback: FallbackTimes;
};

/** For answers that say nothing themselves; null where the route says nothing either. In seconds. */
export type FallbackTimes = {
  freshS: number | null;
  staleWhileRevalidateS: number | null;
  staleIfErrorS: number | null;
};

export const noFallback: FallbackTimes = { freshS: null, staleWhileRevalidateS: null, staleIfErrorS: null };

/** What a request says, as far as a cache looks at it; header names in lower case. */
export type CacheRequest = {
  method: string;
  headers: Readonly<Record<string, string | string[] | undefined>>;
};

/** All lines of a header joined by commas; undefined where there is none. */
export function headerOf(headers: HeaderLines, name: string): string | undefined {
  let joined: string | undefined;
  for (const [key, value] of headers) {
    if (key.length !== name.length || key.toLowerCase() !== name) continue;
    joined = joined === undefined ? value : `${joined}, ${value}`;
  }
  return joined;
}

/** The same of a request. */
export function requestHeader({ headers }: CacheRequest, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' ? value : value?.join(', ');
}

/** Milliseconds since 1970 of a date in a header (RFC 9110 §5.6.7); undefined where it is none. */
export function dateOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^[A-Z][a-z]{2}/.test(text)) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}
