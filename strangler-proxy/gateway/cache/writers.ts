import { createHash } from 'node:crypto';
import type { RequestFacts } from '../../decide/decision.ts';
import { cookieValue, stickyKeyOf } from '../../decide/sticky-key.ts';

/** The cookie that says when its client last wrote: milliseconds since 1970. */
export const wroteAtCookie = 'strangler_wrote_at';

/** By what a client is known that keeps no cookies: who it says it is, else where it comes from. */
const knownBy = ['jwt.sub', 'header.authorization', 'header.x-api-key'] as const;

/** Who sends a request, as text that tells nothing of it; null where the cookie alone must tell. */
export function writerOf(facts: RequestFacts): string | null {
  const keepsCookies = facts.headers.cookie !== undefined;
  const key = namedBy(facts) ?? (keepsCookies ? null : `ip=${facts.clientAddress}`);
  return key === null ? null : createHash('sha256').update(key).digest('base64url').slice(0, 24);
}

function namedBy(facts: RequestFacts): string | null {
  // Without cookies, or it would also find the one that keeps anonymous users on a side.
  return stickyKeyOf(knownBy, { ...facts, headers: { ...facts.headers, cookie: undefined } });
}

/** When its sender last wrote, as the request's cookie says; a forged one only keeps its sender from what is kept. */
export function wroteAtOf(facts: RequestFacts, nowMs: number): number | null {
  const text = cookieValue(facts.headers.cookie, wroteAtCookie);
  if (text === null || !/^\d{1,15}$/.test(text)) return null;
  return Math.min(Number(text), nowMs);
}

/** The `Set-Cookie` value that says it, for as long as anything may be kept. */
export function wroteAtSetCookie(nowMs: number, longestMs: number, secure: boolean): string {
  return `${wroteAtCookie}=${Math.ceil(nowMs)}; Path=/; Max-Age=${Math.ceil(longestMs / 1000)}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`;
}

/**
 * Whether somebody who wrote then may be given an answer that was asked for at this time: one that their write, and its way
 * to the other side, were over before. Both in milliseconds since 1970.
 */
export function maySee(requestedAtMs: number, wroteAtMs: number | null, windowMs: number): boolean {
  return wroteAtMs === null || requestedAtMs >= wroteAtMs + windowMs;
}
