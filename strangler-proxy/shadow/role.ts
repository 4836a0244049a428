import type { RequestFacts } from '../decide/decision.ts';
import { cookieValue, stickyCookie } from '../decide/sticky-key.ts';

/** What a comparison is filed under beside its route: who asks may change what the right answer is. */
export type Role = string;

export type RoleOf = (facts: Pick<RequestFacts, 'headers'>, stickyBy: readonly string[]) => Role;

/** Roles beside `anonymous` and `user` that one worker tells apart; what comes after them is `user`. */
const mostRoles = 6;
const roleName = /^[a-z][a-z0-9_-]{0,31}$/i;

/**
 * The role of whoever sends a request: `anonymous` without a token and without any of the slice's own keys, else the `role`
 * that a JWT claims, else `user`. The claim is not verified; it is a label, of which there are few, and opens nothing.
 */
export const createRoleOf = (): RoleOf => {
  const known = new Set<Role>();
  return ({ headers }, stickyBy) => {
    if (!hasIdentity(headers, stickyBy)) return 'anonymous';
    const claimed = claimedRole(headers.authorization);
    if (claimed === null || claimed === 'anonymous') return 'user';
    if (known.has(claimed)) return claimed;
    if (known.size >= mostRoles) return 'user';
    known.add(claimed);
    return claimed;
  };
};

const hasIdentity = (headers: RequestFacts['headers'], stickyBy: readonly string[]): boolean =>
  headers.authorization !== undefined ||
  stickyBy.some((source) => {
    const name = source.slice(source.indexOf('.') + 1);
    if (source.startsWith('header.')) return headers[name.toLowerCase()] !== undefined;
    // The proxy's own cookie says that somebody comes again, not who.
    return source.startsWith('cookie.') && name !== stickyCookie && cookieValue(headers.cookie, name) !== null;
  });

const claimedRole = (authorization: string | string[] | undefined): string | null => {
  if (typeof authorization !== 'string' || !/^bearer /i.test(authorization)) return null;
  const payload = authorization.slice(7).split('.', 2)[1];
  if (payload === undefined) return null;
  try {
    const { role } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
    return typeof role === 'string' && roleName.test(role) ? role.toLowerCase() : null;
  } catch {
    return null;
  }
};
