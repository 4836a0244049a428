import { EventEmitter } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { types } from 'node:util';
import Consul from 'consul';
import { classifyConsulError } from './errors.ts';

/** What the `consul` package passes on with every call, beyond what its types say. */
export type WireOptions = { timeout: number; ctx: EventEmitter };
type WireResponse = { statusCode: number; headers: Record<string, string | undefined> };

export type CallLimits = { timeoutMs?: number; signal?: AbortSignal };

/** One set of sockets to Consul. */
export type Connection = {
  /** Runs one call of the package; throws `ConsulError`s (see errors.ts), or the signal's reason when aborted. */
  call<T>(
    operation: string,
    effect: 'read' | 'write',
    run: (consul: Consul, wire: WireOptions) => Promise<T>,
    limits?: CallLimits,
  ): Promise<T>;
  /** The same for a blocking query: also gives the answer's `X-Consul-Index`, 0 when it has none. */
  query<T>(
    operation: string,
    run: (consul: Consul, wire: WireOptions) => Promise<T>,
    limits?: CallLimits,
  ): Promise<{ index: number; body: T }>;
  close(): void;
};

export type ConnectionOptions = { url: string; token?: string; timeoutMs: number; maxSockets: number };

/** Opens keep-alive sockets of its own, `maxSockets` at most; `timeoutMs` bounds every call that names no other bound. */
export function openConnection({ url, token, timeoutMs: defaultTimeoutMs, maxSockets }: ConnectionOptions): Connection {
  const { protocol, hostname, port } = new URL(url);
  const secure = protocol === 'https:';
  const agent = new (secure ? https : http).Agent({ keepAlive: true, keepAliveMsecs: 1000, maxSockets });
  const consul = new Consul({
    host: hostname,
    port: Number(port) || (secure ? 443 : 80),
    secure,
    agent,
    ...(token === undefined ? {} : { defaults: { token } }),
  });
  failOnTruncatedAnswers(consul);

  async function send<T>(
    operation: string,
    effect: 'read' | 'write',
    run: (wire: WireOptions) => Promise<T>,
    { timeoutMs = defaultTimeoutMs, signal }: CallLimits,
    includeResponse: boolean,
  ): Promise<T> {
    signal?.throwIfAborted();
    const ctx = Object.assign(new EventEmitter(), { includeResponse });
    const cancel = () => void ctx.emit('cancel');
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      const answer = await run({ timeout: timeoutMs, ctx });
      // The package tells errors by `instanceof`, and resolves with one that is of another realm.
      if (types.isNativeError(answer)) throw answer;
      return answer;
    } catch (error) {
      signal?.throwIfAborted();
      throw classifyConsulError(error, { operation, url }, effect);
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  return {
    call: (operation, effect, run, limits = {}) => send(operation, effect, (wire) => run(consul, wire), limits, false),
    query: async <T>(
      operation: string,
      run: (consul: Consul, wire: WireOptions) => Promise<T>,
      limits: CallLimits = {},
    ) => {
      const answer: unknown = await send(operation, 'read', (wire) => run(consul, wire), limits, true);
      const [response, body] = answer as [WireResponse, T];
      return { index: Number(response.headers['x-consul-index'] ?? 0), body };
    },
    close: () => agent.destroy(),
  };
}

type PackageRequest = { transport: { request(options: object): http.ClientRequest } };
type Extensible = { _ext(event: 'onRequest', pass: (request: PackageRequest, next: () => void) => void): void };

/** The package listens for the end of an answer only: one that is cut short would hang until its time-out. */
function failOnTruncatedAnswers(consul: Consul): void {
  (consul as unknown as Extensible)._ext('onRequest', (request, next) => {
    const { transport } = request;
    request.transport = {
      request(options) {
        const sent = transport.request(options);
        sent.on('response', (answer) => answer.on('error', (error) => sent.emit('error', error)));
        return sent;
      },
    };
    next();
  });
}
