import type { Request, RequestHandler } from 'express';
import { serviceTokenHeader } from '../contracts/headers.ts';
import { Problem } from '../http/problem.ts';
import { type Admission, toldDetails } from './admission.ts';

const callerKey = Symbol('calling service');
type RequestOfService = Request & { [callerKey]?: string };

export type HttpGuard = {
  /** Middleware, to stand in a route: lets through these services; 401 for who shows no good token, 403 for others. */
  requireCaller(...callers: string[]): RequestHandler;
  /** The same as a question; throws the problem. */
  admit(request: Request, ...callers: string[]): Promise<void>;
};

/** The service that a request was proven to come from; undefined where nobody asked, or it is let through unproven. */
export function callerOf(request: Request): string | undefined {
  return (request as RequestOfService)[callerKey];
}

/** `realm`: the service whose token is wanted. */
export function createHttpGuard(admission: Admission, realm: string): HttpGuard {
  const admit: HttpGuard['admit'] = async (request, ...allowed) => {
    const given = request.headers[serviceTokenHeader];
    const admitted = await admission.admit({
      transport: 'http',
      operation: `${request.method} ${request.route?.path ?? request.path.split('/', 2).join('/')}`,
      token: given === undefined ? undefined : String(given),
      certificateNames: undefined,
      allowed,
    });
    if (admitted.kind === 'refused') {
      const { as, told } = admitted;
      throw new Problem({
        status: as === 'forbidden' ? 403 : 401,
        detail: toldDetails[told],
        extensions: { reason: told },
        headers: as === 'forbidden' ? {} : { 'www-authenticate': `ServiceToken realm="${realm}"` },
      });
    }
    if (admitted.caller !== undefined) (request as RequestOfService)[callerKey] = admitted.caller;
  };
  return {
    admit,
    requireCaller:
      (...callers) =>
      async (request, _response, next) => {
        await admit(request, ...callers);
        next();
      },
  };
}
