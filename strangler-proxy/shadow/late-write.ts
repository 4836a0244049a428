import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import type { RepeatedRequest } from './ask.ts';

/**
 * Whether what differed between a write and its dry run was what the service had not heard of yet, such as the new name of a
 * product's category: a dry run of the same request, made later, has the monolith's value everywhere that the first one had not.
 * What else differs then may be the write's own effect, which has reached the service by now, and says nothing.
 */
export const cameLate = (first: readonly Difference[], later: readonly Difference[]): boolean =>
  first.every(({ path }) => !later.some((one) => covers(one.path, path)));

/** Whether a difference at `path` leaves nothing to be said of `inner`; another status leaves nothing of anything. */
const covers = (path: string, inner: string): boolean =>
  path === 'status' ||
  (path === 'body' && inner.startsWith('$')) ||
  (inner.startsWith(path) && !/^\w/.test(inner.slice(path.length)));

/**
 * The request by which the same caller looks at what a write has made or changed: where its answer says that it is, or where
 * it was sent to. Null where that cannot be told.
 */
export const readingOf = (
  { method, target, headers }: RepeatedRequest,
  answer: Pick<ComparedAnswer, 'status' | 'headers'>,
): RepeatedRequest | null => {
  if (answer.status >= 400) return null;
  const location = answer.headers.find(([name]) => name === 'location')?.[1];
  const where = location === undefined ? (method === 'PUT' || method === 'PATCH' ? target : null) : pathIn(location);
  if (where === null) return null;
  const kept = Object.entries(headers).filter(([name]) => !ofTheWrite.test(name));
  return { method: 'GET', target: where, headers: Object.fromEntries(kept), body: null };
};

/** What is said of the write alone: its body, its conditions, its repetition. */
const ofTheWrite = /^(content-|if-|idempotency-key$|expect$|prefer$)/i;

/** The path of a reference to this server; null for another one's (RFC 3986 §4.2). */
const pathIn = (location: string): string | null =>
  location.startsWith('/') && !location.startsWith('//') ? location : null;

/** How many differences of an endpoint may be told to have come late. */
export type LateWrites = {
  /** A write of this endpoint was compared. */
  compared(endpoint: string): void;
  /** Whether a difference at these paths may have come late; it counts as such then. */
  allow(endpoint: string, paths: readonly string[]): boolean;
};

/** What comes late is rare. A service that is wrong by the write itself is so each time. */
export const mostLate = { share: 0.05, first: 2 } as const;

/**
 * A service that counts one less than the monolith is right about that once its own write has arrived, so a later dry run alone
 * would hide it. But it is wrong at every write, where what comes late is wrong now and then: of one path no more is
 * allowed than the first two and one in twenty after that. Bounded: what was compared longest ago is forgotten.
 */
export const createLateWrites = (maxEndpoints = 500): LateWrites => {
  const known = new Map<string, { compared: number; late: Map<string, number> }>();
  const of = (endpoint: string) => {
    const found = known.get(endpoint) ?? { compared: 0, late: new Map<string, number>() };
    known.delete(endpoint);
    known.set(endpoint, found);
    if (known.size > maxEndpoints) known.delete(known.keys().next().value!);
    return found;
  };
  return {
    compared(endpoint) {
      of(endpoint).compared += 1;
    },
    allow(endpoint, paths) {
      const { compared, late } = of(endpoint);
      const most = mostLate.first + Math.floor(compared * mostLate.share);
      if (paths.some((path) => (late.get(path) ?? 0) >= most)) return false;
      for (const path of paths) late.set(path, (late.get(path) ?? 0) + 1);
      return true;
    },
  };
};
