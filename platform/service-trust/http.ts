import type { IncomingMessage } from 'node:http';
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
  /**
   * Middleware, to stand before the routes that users are served by: lets everybody through, or, where SERVICE_API_CALLERS names some, those
   * alone. Whoever came through the proxy then is who the request says, for nobody else could have said it.
   */
  api: RequestHandler;
  /** The same as a question, for upgrades; throws the problem. */
  admitToApi(request: IncomingMessage): Promise<void>;
};

/** The service that a request was proven to come from; undefined where nobody asked, or it is let through unproven. */
export function callerOf(request: Request): string | undefined {
  return (request as RequestOfService)[callerKey];
}

/** `realm`: the service whose token is wanted; `apiCallers`: who alone may ask for its public routes, empty for everybody. */
export function createHttpGuard(admission: Admission, realm: string, apiCallers: readonly string[] = []): HttpGuard {
  const callerFor = async (
    request: IncomingMessage,
    operation: string,
    allowed: readonly string[],
  ): Promise<string | undefined> => {
    const given = request.headers[serviceTokenHeader];
    const admitted = await admission.admit({
      ...{ transport: 'http', operation, token: given === undefined ? undefined : String(given) },
      ...{ certificateNames: undefined, allowed },
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
    return admitted.caller;
  };
  const admit: HttpGuard['admit'] = async (request, ...allowed) => {
    const operation = `${request.method} ${request.route?.path ?? request.path.split('/', 2).join('/')}`;
    const caller = await callerFor(request, operation, allowed);
    if (caller !== undefined) (request as RequestOfService)[callerKey] = caller;
  };
  // Who passes a request on is not who asks: nothing here says that the proxy is the caller.
  const admitToApi = async (request: IncomingMessage): Promise<void> => {
    if (apiCallers.length > 0) await callerFor(request, `${request.method} /api`, apiCallers);
  };
  return {
    admit,
    admitToApi,
    api: async (request, _response, next) => {
      await admitToApi(request);
      next();
    },
    requireCaller:
      (...callers) =>
      async (request, _response, next) => {
        await admit(request, ...callers);
        next();
      },
  };
}
