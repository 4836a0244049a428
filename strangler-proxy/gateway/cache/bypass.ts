import type { CacheRequest } from './answer.ts';
import { requestDirectives } from './reuse.ts';

/** Why a request is forwarded as if there were no cache. */
export type Bypass =
  | 'method'
  | 'body'
  | 'range'
  | 'condition'
  | 'no-store'
  | 'authorization'
  | 'cookies'
  | 'operator'
  | 'override';

export type BypassRules = {
  authorized: boolean;
  /** `bypass`: who sends a cookie may be answered for themselves only. `ignore`: the route's answers are the same for all. */
  cookies: 'bypass' | 'ignore';
};

/**
 * Headers by which some servers take another method, host or path than the request's own. No answer that was made by one may be given to who
 * did not send it, and nobody's `Vary` names them.
 */
const overrides = [
  ...['x-http-method-override', 'x-http-method', 'x-method-override'],
  ...['x-original-url', 'x-rewrite-url', 'x-original-host', 'x-host', 'x-http-host-override'],
] as const;

/** By these, too, clients prove who they are. */
const credentials = ['authorization', 'x-api-key', 'x-auth-token'] as const;

/** Whether the request proves, or tries to prove, who sends it. */
export const isProven = ({ headers }: CacheRequest): boolean => credentials.some((name) => headers[name] !== undefined);

/** Cookies of the proxy's own say nothing to whoever answers. */
const ownCookies = /^\s*strangler_[a-z_]+=/;

/** Null where the cache may answer. `hasBody` and `operator` are of the request too. */
export function bypassOf(
  request: CacheRequest,
  { hasBody, operator }: { hasBody: boolean; operator: boolean },
  rules: BypassRules,
): Bypass | null {
  const { method, headers } = request;
  if (method !== 'GET' && method !== 'HEAD') return 'method';
  if (hasBody) return 'body';
  // An operator who looks at a side wants to see that side, and headers that are for them alone.
  if (operator) return 'operator';
  if (headers.range !== undefined) return 'range';
  if (headers['if-match'] !== undefined || headers['if-unmodified-since'] !== undefined) return 'condition';
  if (requestDirectives(request).has('no-store')) return 'no-store';
  if (overrides.some((name) => headers[name] !== undefined)) return 'override';
  if (isProven(request) && !rules.authorized) return 'authorization';
  if (rules.cookies === 'bypass' && hasForeignCookie(headers.cookie)) return 'cookies';
  return null;
}

function hasForeignCookie(header: string | string[] | undefined): boolean {
  if (header === undefined) return false;
  const text = typeof header === 'string' ? header : header.join(';');
  return text.split(';').some((cookie) => cookie.trim() !== '' && !ownCookies.test(cookie));
}
