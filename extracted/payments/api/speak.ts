import { Problem } from '@strangler/platform/http/problem.ts';
import type { Request, RequestHandler, Response } from 'express';
import { type ApiVersion, mediaTypeOf, negotiate } from './version.ts';

/** When the first version was deprecated and when it ends. */
export type V1Ends = { deprecatedAt: Date; sunsetAt: Date };

const spokenKey = Symbol('spoken version');
type Spoken = { version: ApiVersion; named: boolean };
type RequestWithVersion = Request & { [spokenKey]?: Spoken };

/**
 * Middleware: settles which version a request speaks. Answers in the first one say, refusals included, that it is deprecated
 * (RFC 9745), when it ends (RFC 8594) and where the next one is.
 */
export function speak(pathVersion: ApiVersion | undefined, { deprecatedAt, sunsetAt }: V1Ends): RequestHandler {
  return (request, response, next) => {
    const spoken = negotiate({
      pathVersion,
      accept: request.headers.accept,
      contentType: request.headers['content-type'],
    });
    if (pathVersion === undefined) response.vary('Accept');
    if (spoken.kind === 'not_acceptable') {
      throw new Problem({ status: 406, detail: 'The versions of this API are 1 and 2, by path or by media type.' });
    }
    (request as RequestWithVersion)[spokenKey] = spoken;
    if (spoken.version === 1) {
      const path = (request.originalUrl.split('?', 1)[0] ?? '').replace(/^\/api\/payments/, '/api/v2/payments');
      response.set({
        deprecation: `@${Math.floor(deprecatedAt.getTime() / 1000)}`,
        sunset: sunsetAt.toUTCString(),
        link: `<${path}>; rel="successor-version"`,
      });
    }
    next();
  };
}

/** The version that `speak` has settled. */
export function versionOf(request: Request): ApiVersion {
  return spokenBy(request).version;
}

/** The media type of the answer. */
export function answerType(request: Request): string {
  const { named, version } = spokenBy(request);
  return named ? mediaTypeOf(version) : 'application/json; charset=utf-8';
}

export function sendJson(request: Request, response: Response, status: number, body: object): void {
  response.status(status).set('content-type', answerType(request)).end(JSON.stringify(body));
}

function spokenBy(request: Request): Spoken {
  const spoken = (request as RequestWithVersion)[spokenKey];
  if (!spoken) throw new Error(`${request.method} ${request.path} speaks no version: its route has no speak()`);
  return spoken;
}
