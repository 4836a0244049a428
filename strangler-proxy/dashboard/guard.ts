import type { IncomingMessage } from 'node:http';
import { problems } from '@strangler/platform/http/problem.ts';
import { allows, type Person, type Role, type TokenHolders } from './roles.ts';
import type { Sessions } from './sessions.ts';

/** Who asks. `untilMs`: when that is over, in milliseconds since the epoch; null where it does not end by itself. */
export type Caller = Person & { by: 'session' | 'bearer' | 'loopback'; untilMs: number | null };

/** A page of another site cannot send this header without being asked about it first, and we allow nobody. */
export const changeHeader = 'x-strangler-dashboard';

export const howToSignIn =
  'Expected a session or "Authorization: Bearer <token>". Tokens are in the file that ADMIN_TOKENS_FILE names; "npm start" makes one and prints it.';

export const howToGetTokens =
  'This proxy has no tokens, so nothing can be changed here. Start it with ADMIN_TOKENS_FILE=tokens.json, a list of ' +
  '{ "name": "ada", "role": "admin", "token": "<24 characters or more>" }; "npm start" makes one by itself.';

export type GuardOptions = {
  /** Null: nobody has a token, and whoever is on this machine may look. */
  holders: TokenHolders | null;
  sessions: Sessions;
  cookieName: string;
};

export type Guard = {
  /** @throws Problem 401 or 403 */
  require(req: IncomingMessage, needed: Role): Caller;
  /** Sees that a change was asked for by a page of ours, or by no browser at all. @throws Problem 403 */
  requireOwnPage(req: IncomingMessage, options?: { header: boolean }): void;
};

export const createGuard = ({ holders, sessions, cookieName }: GuardOptions): Guard => {
  const callerOf = (req: IncomingMessage): Caller => {
    if (holders === null) {
      if (isFromHere(req)) return { name: 'this machine', role: 'viewer', by: 'loopback', untilMs: null };
      throw problems.forbidden(
        `Expected a request from this machine, by the name localhost or its address. ${howToGetTokens}`,
      );
    }
    const bearer = /^bearer +(\S+)$/i.exec(req.headers.authorization ?? '')?.[1];
    if (bearer !== undefined) {
      const person = holders.find(bearer);
      if (person === undefined) throw problems.unauthorized('Expected a token that this proxy knows.');
      return { ...person, by: 'bearer', untilMs: null };
    }
    const cookie = cookieOf(req, cookieName);
    const session = cookie === undefined ? undefined : sessions.read(cookie);
    if (session === undefined) throw problems.unauthorized(howToSignIn);
    return { ...session, by: 'session' };
  };

  const requireOwnPage: Guard['requireOwnPage'] = (req, { header } = { header: true }) => {
    const site = req.headers['sec-fetch-site'];
    if (site !== undefined && site !== 'same-origin') {
      throw problems.forbidden(`Expected a request of this dashboard's own page, found Sec-Fetch-Site: ${site}.`);
    }
    const { origin, host } = req.headers;
    if (origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host)) {
      throw problems.forbidden('Expected a request of this dashboard’s own page, found another Origin.');
    }
    if (header && req.headers[changeHeader] === undefined) {
      throw problems.forbidden(`Expected the header ${changeHeader}, by which a page of this dashboard shows itself.`);
    }
  };

  return {
    require(req, needed) {
      const caller = callerOf(req);
      if (req.method !== 'GET' && req.method !== 'HEAD') {
        // A browser sends a cookie along by itself; a bearer token it does not.
        requireOwnPage(req, { header: caller.by !== 'bearer' });
      }
      if (allows(caller.role, needed)) return caller;
      throw problems.forbidden(
        caller.by === 'loopback'
          ? howToGetTokens
          : `Expected the role ${needed} or more, found that ${caller.name} is ${caller.role}.`,
      );
    },
    requireOwnPage,
  };
};

/** The Host header counts too: a name of somebody else's may lead here, and its pages must not read ours. */
const isFromHere = (req: IncomingMessage): boolean => {
  const host = /^(.*?)(:\d+)?$/.exec(req.headers.host ?? '')?.[1] ?? '';
  return isLoopback(req.socket.remoteAddress ?? '') && (host === 'localhost' || isLoopback(host));
};

const isLoopback = (address: string): boolean =>
  /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(address) || address === '::1' || address === '[::1]';

const cookieOf = (req: IncomingMessage, name: string): string | undefined => {
  for (const pair of (req.headers.cookie ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return undefined;
};
