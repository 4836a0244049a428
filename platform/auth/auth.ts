import type { Request, RequestHandler } from 'express';
import { type Problem, problems } from '../http/problem.ts';
import type { AccessTokens } from './access-token.ts';

/** Who makes a request, as its access token says. */
export type Identity = {
  accountId: number;
  role: string;
};

export type Auth = {
  /** Middleware: lets through any logged-in account; 401 otherwise. */
  requireAccount(): RequestHandler;
  /** Middleware: lets through accounts of this role; 401 when not logged in, 403 with another role. */
  requireRole(role: string): RequestHandler;
  /** The identity in an access token; throws a 401 problem where it is not valid. For sockets, which have no middleware. */
  verify(token: string): Promise<Identity>;
};

const identityKey = Symbol('identity');
type RequestWithIdentity = Request & { [identityKey]?: Identity };

/** The identity that `requireAccount()` or `requireRole()` has put on the request. */
export function identityOf(request: Request): Identity {
  const identity = (request as RequestWithIdentity)[identityKey];
  if (!identity)
    throw new Error(`${request.method} ${request.path} reads an identity, but its route has no requireAccount()`);
  return identity;
}

/** `realm`: what a client is told that it needs a token for (RFC 6750 section 3). */
export function createAuth({ accessTokens, realm }: { accessTokens: AccessTokens; realm: string }): Auth {
  const unauthorized = (detail: string, error?: 'invalid_token'): Problem => {
    const told = error === undefined ? '' : `, error="${error}"`;
    return problems.unauthorized(detail, `Bearer realm="${realm}"${told}`);
  };

  const verify = async (token: string): Promise<Identity> => {
    const identity = await accessTokens.verify(token);
    if (!identity) throw unauthorized('The access token is not valid or has expired', 'invalid_token');
    return identity;
  };

  const identify = async (request: Request): Promise<Identity> => {
    const header = request.headers.authorization;
    if (header === undefined) throw unauthorized('An access token is needed: Authorization: Bearer <token>');
    const token = /^Bearer +([\w.~+/=-]+) *$/i.exec(header)?.[1];
    if (token === undefined)
      throw unauthorized('The Authorization header is not of the form: Bearer <token>', 'invalid_token');
    const identity = await verify(token);
    (request as RequestWithIdentity)[identityKey] = identity;
    return identity;
  };

  return {
    verify,
    requireAccount: () => async (request, _response, next) => {
      await identify(request);
      next();
    },
    requireRole: (role) => async (request, _response, next) => {
      const identity = await identify(request);
      if (identity.role !== role) throw problems.forbidden(`This needs an account with the role ${role}`);
      next();
    },
  };
}
