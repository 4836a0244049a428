import type { Refuse } from '../policy.ts';

/** What an Authorization header brings: nothing of ours, something that cannot be a token, or one. */
export type Bearer = { kind: 'none' } | { kind: 'malformed' } | { kind: 'token'; token: string };

const none: Bearer = { kind: 'none' };

/** Reads an Authorization header (RFC 6750, section 2.1); another scheme than Bearer is none. */
export const readBearer = (authorization: string | string[] | undefined): Bearer => {
  if (authorization === undefined) return none;
  if (typeof authorization !== 'string') return { kind: 'malformed' };
  if (!/^bearer(?: |$)/i.test(authorization)) return none;
  const token = authorization.slice(7).trim();
  return /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(token)
    ? { kind: 'token', token }
    : { kind: 'malformed' };
};

/** The three refusals of RFC 6750, section 3, and the one of an issuer that does not answer. */
export const bearerRefusals = (realm: string): Record<'missing' | 'invalid' | 'issuerAway', Refuse> => {
  const challenge = `Bearer realm="${realm}"`;
  const refuse = (detail: string, authenticate: string): Refuse => ({
    kind: 'refuse',
    status: 401,
    title: 'Unauthorized',
    detail,
    headers: { 'WWW-Authenticate': authenticate },
  });
  return {
    missing: refuse('Expected an access token in the header Authorization, found none.', challenge),
    invalid: refuse(
      'The access token is not valid or has expired.',
      `${challenge}, error="invalid_token", error_description="The access token is not valid or has expired"`,
    ),
    issuerAway: {
      kind: 'refuse',
      status: 503,
      title: 'Service unavailable',
      detail: 'Access tokens cannot be checked at the moment.',
      headers: { 'Retry-After': '1' },
    },
  };
};
