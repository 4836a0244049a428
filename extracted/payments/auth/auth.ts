import { type Problem, problems } from '@strangler/platform/http/problem.ts';
import type { Request, RequestHandler } from 'express';
import type { AccessTokens } from './access-token.ts';

export type Role = 'customer' | 'admin';

/** Who makes a request, as its access token says. */
export type Identity = {
  accountId: number;
  role: Role;
};

export type Auth = {
  /** Middleware: lets through any logged-in account; 401 otherwise. */
  requireAccount(): RequestHandler;
  /** Middleware: lets through accounts of this role; 401 when not logged in, 403 with another role. */
  requireRole(role: Role): RequestHandler;
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

export function createAuth({ accessTokens }: { accessTokens: AccessTokens }): Auth {
  const identify = async (request: Request): Promise<Identity> => {
    const header = request.headers.authorization;
    if (header === undefined) throw unauthorized('An access token is needed: Authorization: Bearer <token>');
    const token = /^Bearer +([\w.~+/=-]+) *$/i.exec(header)?.[1];
    if (token === undefined)
      throw unauthorized('The Authorization header is not of the form: Bearer <token>', 'invalid_token');
    const identity = await accessTokens.verify(token);
    if (!identity) throw unauthorized('The access token is not valid or has expired', 'invalid_token');
    (request as RequestWithIdentity)[identityKey] = identity;
    return identity;
  };

  return {
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

/** A 401 with the challenge that RFC 6750 section 3 asks for. */
function unauthorized(detail: string, error?: 'invalid_token'): Problem {
  const challenge = error === undefined ? 'Bearer realm="shop"' : `Bearer realm="shop", error="${error}"`;
  return problems.unauthorized(detail, challenge);
}
