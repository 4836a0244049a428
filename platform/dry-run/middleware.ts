import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Request, RequestHandler, Response } from 'express';
import { type DryRunAnswer, dryRunHeader, dryRunMediaType, dryRunProbePath } from '../contracts/dry-run.ts';
import { epochHeader } from '../contracts/headers.ts';
import { Problem, problems, sendProblem } from '../http/problem.ts';
import { hearEvents } from '../outbox/told-events.ts';
import type { DryRuns } from './dry-runs.ts';
import { cannotDryRun, dryRunFailed } from './errors.ts';

export type DryRunMiddlewareOptions = {
  dryRuns: DryRuns;
  /**
   * The routes whose handlers do nothing beyond the pool of `dryRuns`, calls that change nothing elsewhere, and what they look at
   * `dryRuns.inside()` for. Every other one is refused with 501, whatever it would do.
   */
  promised(request: { method: string; path: string }): boolean;
  /** Throws the problem for who may not ask for dry runs. Everybody may unless told. */
  admit?(request: Request): Promise<void>;
  /** The largest body of an answer that is kept for telling it, 1 MiB unless told; a larger one fails the dry run. */
  mostBytes?: number;
};

/**
 * Express middleware before all routes of a service: answers the probe, and takes every request with `x-strangler-dry-run`. Such a
 * request runs the same routes in a transaction that is undone, and is answered with what they would have answered and the
 * events that they would have told, wrapped. An epoch that it names is not looked at: nothing of it is ever written.
 */
export function dryRunMiddleware({
  dryRuns,
  promised,
  admit,
  mostBytes = 1024 * 1024,
}: DryRunMiddlewareOptions): RequestHandler {
  return async (request, response, next) => {
    if (request.method === 'GET' && request.path === dryRunProbePath) {
      response.set('cache-control', 'no-store').json({ dryRun: true });
      return;
    }
    const asked = request.headers[dryRunHeader];
    if (asked === undefined) {
      next();
      return;
    }
    if (asked !== '1') throw problems.badRequest(`${dryRunHeader}: expected 1`);
    await admit?.(request);
    if (!promised(request)) {
      dryRuns.count('refused');
      throw cannotDryRun(`${request.method} ${request.path} cannot be done and undone.`);
    }
    delete request.headers[epochHeader];
    const send = intercept(response);
    let told: DryRunAnswer | Problem;
    try {
      told = await dryRuns.run(() =>
        hearEvents(async (events) => {
          const answer = await answerOf(request, response, next, mostBytes);
          return { answer, effects: { events: [...events] } };
        }),
      );
      dryRuns.count('answered');
    } catch (error) {
      told = error instanceof Problem ? error : dryRunFailed('It failed.', error);
      dryRuns.count(told.status === 501 ? 'refused' : 'failed');
    }
    send(told);
  };
}

/** Puts back the answer as it was before the routes, and sends what became of the dry run. */
function intercept(response: Response): (told: DryRunAnswer | Problem) => void {
  const headers = { ...response.getHeaders() };
  const methods = capturing.map((name) => [name, Object.getOwnPropertyDescriptor(response, name)] as const);
  return (told) => {
    for (const [name, before] of methods) {
      if (before) Object.defineProperty(response, name, before);
      else delete (response as Partial<ServerResponse>)[name];
    }
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value);
    if (told instanceof Problem) {
      sendProblem(response, told);
      return;
    }
    const body = JSON.stringify(told);
    response.statusCode = 200;
    response.setHeader('cache-control', 'no-store');
    response.setHeader('content-type', dryRunMediaType);
    response.setHeader('content-length', Buffer.byteLength(body));
    response.end(body);
  };
}

const capturing = ['writeHead', 'flushHeaders', 'write', 'end'] as const;

/** Lets the routes answer into memory. Rejects when the client goes, or the answer is too large. */
function answerOf(
  request: Request,
  response: Response,
  next: () => void,
  mostBytes: number,
): Promise<DryRunAnswer['answer']> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const keep = (chunk: unknown, encoding: unknown): void => {
      if (chunk === undefined || chunk === null || typeof chunk === 'function') return;
      const buffer =
        typeof chunk === 'string'
          ? Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8')
          : Buffer.from(chunk as Uint8Array);
      bytes += buffer.length;
      if (bytes > mostBytes) reject(cannotDryRun(`The answer is larger than ${mostBytes} bytes.`));
      else chunks.push(buffer);
    };
    const called = (args: unknown[]): void => {
      const callback = args.find((arg) => typeof arg === 'function') as (() => void) | undefined;
      if (callback) queueMicrotask(callback);
    };
    const own = {
      writeHead: (status: number, ...rest: unknown[]) => {
        response.statusCode = status;
        const told = rest.find((arg) => typeof arg === 'object' && arg !== null) as OutgoingHttpHeaders | undefined;
        for (const [name, value] of Object.entries(told ?? {}))
          if (value !== undefined) response.setHeader(name, value);
        return response;
      },
      flushHeaders: () => {},
      write: (chunk: unknown, ...rest: unknown[]) => {
        keep(chunk, rest[0]);
        called(rest);
        return true;
      },
      end: (...args: unknown[]) => {
        keep(args[0], args[1]);
        called(args);
        const { statusCode: status } = response;
        const hasBody = request.method !== 'HEAD' && status !== 204 && status !== 304;
        const body = hasBody ? Buffer.concat(chunks) : Buffer.alloc(0);
        resolve({ status, headers: pairsOf(response.getHeaders()), bodyBase64: body.toString('base64') });
        return response;
      },
    };
    Object.assign(response, own);
    request.once('aborted', () => reject(dryRunFailed('Whoever asked has gone.')));
    next();
  });
}

function pairsOf(headers: OutgoingHttpHeaders): [string, string][] {
  return Object.entries(headers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).flatMap((one): [string, string][] =>
      one === undefined ? [] : [[name, String(one)]],
    ),
  );
}
