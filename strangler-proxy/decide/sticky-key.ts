import type { RequestFacts } from './decision.ts';

/** The cookie by which the proxy itself knows a user who brings nothing else. */
export const stickyCookie = 'strangler_sid';

/**
 * What identifies the user of a request: the first of `stickyBy` that is present (`jwt.<claim>`, `cookie.<name>`,
 * `header.<name>`, `ip`), else the proxy's own cookie, else null.
 */
export const stickyKeyOf = (stickyBy: readonly string[], facts: RequestFacts): string | null => {
  for (const source of stickyBy) {
    const key = keyFrom(source, facts);
    if (key !== null) return `${source}=${key}`;
  }
  const own = cookieValue(facts.headers.cookie, stickyCookie);
  return own === null ? null : `cookie.${stickyCookie}=${own}`;
};

/** The user's name in a cohort's list of users: the sticky key without its source. */
export const userOf = (stickyKey: string): string => stickyKey.slice(stickyKey.indexOf('=') + 1);

/** The value of a cookie in a Cookie header (RFC 6265, section 4.2.1), the first where it is there twice; null where absent or empty. */
export const cookieValue = (header: string | string[] | undefined, name: string): string | null => {
  if (header === undefined) return null;
  const text = typeof header === 'string' ? header : header.join('; ');
  const wanted = `${name}=`;
  let start = 0;
  while (start < text.length) {
    while (text[start] === ' ' || text[start] === ';') start += 1;
    const semicolon = text.indexOf(';', start);
    const end = semicolon === -1 ? text.length : semicolon;
    if (text.startsWith(wanted, start)) {
      const value = text.slice(start + wanted.length, end).trim();
      return value === '' ? null : value;
    }
    start = end + 1;
  }
  return null;
};

const keyFrom = (source: string, { headers, clientAddress, verifiedClaims }: RequestFacts): string | null => {
  if (source === 'ip') return clientAddress;
  const dot = source.indexOf('.');
  const name = source.slice(dot + 1);
  switch (source.slice(0, dot)) {
    case 'cookie':
      return cookieValue(headers.cookie, name);
    case 'header': {
      const value = headers[name.toLowerCase()];
      return typeof value === 'string' && value !== '' ? value : null;
    }
    case 'jwt':
      return verifiedClaims === null ? tokenClaim(headers.authorization, name) : claimText(verifiedClaims[name]);
    default:
      return null;
  }
};

/**
 * A claim of the bearer token, unverified where no policy of the gateway has verified it: it only chooses which of two equal sides answers, and whoever answers verifies
 * the token itself. A forged token can move its sender to the other side and gains nothing there.
 */
const tokenClaim = (authorization: string | string[] | undefined, claim: string): string | null => {
  if (typeof authorization !== 'string' || !/^bearer /i.test(authorization)) return null;
  const payload = authorization.slice(7).split('.', 2)[1];
  if (payload === undefined) return null;
  try {
    return claimText(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'))[claim]);
  } catch {
    return null;
  }
};

const claimText = (value: unknown): string | null =>
  typeof value === 'string' || typeof value === 'number' ? String(value) : null;
