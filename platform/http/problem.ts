import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { requestIdHeader } from '../contracts/headers.ts';
import type { Log } from '../log.ts';

/** One value of a request that is not acceptable. */
export type FieldError = { in?: 'body' | 'query' | 'params' | 'headers'; path: string; message: string };

export type ProblemOptions = {
  /** 400 to 599. */
  status: number;
  /** A URI that names the kind of problem. Default `about:blank`: nothing is meant beyond the status. */
  type?: string;
  /** The same for every problem of its kind. Default: the status's own phrase. */
  title?: string;
  /** What is wrong this time, for a person. */
  detail?: string;
  errors?: readonly FieldError[];
  /** Headers of the answer, such as Retry-After. */
  headers?: Record<string, string>;
  /** Further members of the answer's body (RFC 9457 §3.2). */
  extensions?: Record<string, unknown>;
  cause?: unknown;
};

/** An error that has an answer of its own: a problem detail (RFC 9457). */
export class Problem extends Error {
  readonly status: number;
  readonly type: string;
  readonly title: string;
  readonly detail: string | undefined;
  readonly errors: readonly FieldError[] | undefined;
  readonly headers: Record<string, string>;
  readonly extensions: Record<string, unknown>;

  constructor({
    status,
    type = 'about:blank',
    title,
    detail,
    errors,
    headers = {},
    extensions = {},
    cause,
  }: ProblemOptions) {
    const phrase = title ?? STATUS_CODES[status] ?? `Status ${status}`;
    super(detail === undefined ? phrase : `${phrase}: ${detail}`, cause === undefined ? undefined : { cause });
    this.name = 'Problem';
    this.status = status;
    this.type = type;
    this.title = phrase;
    this.detail = detail;
    this.errors = errors;
    this.headers = headers;
    this.extensions = extensions;
  }

  /** The answer's body. */
  toJSON(): Record<string, unknown> {
    return {
      ...this.extensions,
      type: this.type,
      title: this.title,
      status: this.status,
      ...(this.detail === undefined ? {} : { detail: this.detail }),
      ...(this.errors === undefined ? {} : { errors: this.errors }),
    };
  }
}

const plain = (status: number) => (detail?: string) =>
  new Problem(detail === undefined ? { status } : { status, detail });

/** The problems that most routes need. */
export const problems = {
  badRequest: plain(400),
  validation: (errors: readonly FieldError[]) => new Problem({ status: 400, title: 'Validation failed', errors }),
  unauthorized: (detail?: string, challenge = 'Bearer') =>
    new Problem({
      status: 401,
      headers: { 'www-authenticate': challenge },
      ...(detail === undefined ? {} : { detail }),
    }),
  forbidden: plain(403),
  notFound: plain(404),
  conflict: plain(409),
  preconditionFailed: plain(412),
  contentTooLarge: plain(413),
  unsupportedMediaType: plain(415),
  unprocessable: plain(422),
  preconditionRequired: plain(428),
  tooMany: (retryAfterSeconds: number, detail?: string) => later(429, retryAfterSeconds, detail),
  unavailable: (retryAfterSeconds: number, detail?: string) => later(503, retryAfterSeconds, detail),
};

function later(status: 429 | 503, retryAfterSeconds: number, detail: string | undefined): Problem {
  return new Problem({
    status,
    headers: { 'retry-after': `${Math.max(0, Math.ceil(retryAfterSeconds))}` },
    ...(detail === undefined ? {} : { detail }),
  });
}

/** Answers with a problem, once: false when the answer had begun before, and nothing was written. */
export function sendProblem(res: ServerResponse, problem: Problem, instance?: string): boolean {
  if (res.headersSent || res.writableEnded || res.destroyed) return false;
  const body = JSON.stringify(instance === undefined ? problem : { ...problem.toJSON(), instance });
  // What the route had meant to answer with does not hold for the problem.
  for (const name of ['content-encoding', 'content-range', 'etag', 'last-modified', 'cache-control', 'expires']) {
    res.removeHeader(name);
  }
  for (const [name, value] of Object.entries(problem.headers)) res.setHeader(name, value);
  res.statusCode = problem.status;
  res.statusMessage = STATUS_CODES[problem.status] ?? '';
  res.setHeader('content-type', 'application/problem+json; charset=utf-8');
  res.setHeader('content-length', Buffer.byteLength(body));
  res.end(body);
  return true;
}

/**
 * Express's last error handler. A Problem becomes its answer; errors of the body parsers become 400, 413 or 415; all
 * else is logged with its stack and answered 500 without details, `instance` being the request id under which the log
 * has it. When the answer had begun, the connection is cut so that no client takes a part of it for the whole.
 */
export function problemResponder(log: Log): ErrorRequestHandler {
  return (error: unknown, req, res, _next) => {
    const known = asProblem(error);
    const problem = known ?? new Problem({ status: 500, detail: 'Something went wrong on our side.' });
    const request = { method: req.method, path: pathOf(req) };
    if (known === undefined) log.error({ err: error, request }, 'a request failed');
    else if (known.status >= 500) log.warn({ err: known, request }, 'a request was refused');
    else log.debug({ problem: known, request }, 'a request was refused');

    const instance = res.getHeader(requestIdHeader);
    const answered = sendProblem(
      res,
      problem,
      known === undefined && instance !== undefined ? `${instance}` : undefined,
    );
    if (!answered && !res.writableEnded && !res.destroyed) {
      log.error({ err: error, request }, 'an answer was cut short');
      res.destroy();
      req.socket.destroy();
    }
  };
}

/** For what no route has answered: 404. */
export function noSuchRoute(): RequestHandler {
  return (req, _res, next) => next(problems.notFound(`No such route: ${req.method} ${pathOf(req)}`));
}

/** Without the query, which may hold a token. */
function pathOf(req: IncomingMessage & { originalUrl?: string }): string {
  const path = (req.originalUrl ?? req.url ?? '').split(/[?#]/, 1)[0] ?? '';
  return path.length <= 200 ? path : `${path.slice(0, 200)}…`;
}

/** Undefined for an error that says nothing about the request. */
function asProblem(error: unknown): Problem | undefined {
  if (error instanceof Problem) return error;
  if (typeof error !== 'object' || error === null) return undefined;
  const { type, status, limit } = error as { type?: unknown; status?: unknown; limit?: unknown };
  switch (type) {
    case 'entity.too.large':
      return problems.contentTooLarge(
        typeof limit === 'number' ? `The body is larger than ${limit} bytes.` : 'The body is too large.',
      );
    case 'parameters.too.many':
      return problems.contentTooLarge('The body has too many parameters.');
    case 'entity.parse.failed':
      return problems.badRequest('The body is not well-formed.');
    case 'request.size.invalid':
      return problems.badRequest('The body is not as long as Content-Length says.');
    case 'request.aborted':
      return problems.badRequest('The request ended before its body did.');
    case 'encoding.unsupported':
      return problems.unsupportedMediaType('The Content-Encoding of the body is not supported.');
    case 'charset.unsupported':
      return problems.unsupportedMediaType('The charset of the body is not supported.');
    default:
      // zlib's own codes: the body is not what its Content-Encoding says.
      if (String((error as NodeJS.ErrnoException).code).startsWith('Z_')) {
        return problems.badRequest('The body cannot be decompressed.');
      }
      // Express itself: a parameter that does not decode.
      return (error as Error).name === 'URIError' && status === 400
        ? problems.badRequest('The path is not well-formed.')
        : undefined;
  }
}
