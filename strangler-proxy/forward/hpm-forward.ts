import type { IncomingMessage, ServerResponse } from 'node:http';
import { createProxyMiddleware, type Plugin } from 'http-proxy-middleware';
import type { Instance } from '../upstream/upstream.ts';
import { type Answer, Attempt, attemptOf } from './attempt.ts';
import type { Deadlines } from './deadlines.ts';
import type { StartAttempt } from './forward.ts';
import { type AgentLimits, createAgents } from './upstream-agent.ts';

export type MiddlewareForward = {
  start: StartAttempt;
  /** Closes idle connections; what is under way goes on. */
  close(): void;
};

/** Where http-proxy-middleware is to send a request, in the form that it takes without parsing a URL. */
type Target = { protocol: 'http:' | 'https:'; host: string; port: number };

/**
 * Forwards with one http-proxy-middleware over keep-alive agents. The middleware makes the upstream request and ties its
 * life to the client's; what it decides by itself is taken over through its own seams, each for a reason:
 *
 * - `router` is a function: the target is the instance that was chosen. Its table form matches substrings.
 * - `plugins` with `ejectPlugins`: the built-in ones answer errors themselves and log a URL a request.
 * - event `start` puts the prepared headers in place, after httpxy's own pass has added `content-length: 0` to a
 *   DELETE or OPTIONS without body, and before its headers are copied.
 * - event `proxyRes` with `selfHandleResponse`: the attempt sends the answer on. httpxy's own way joins repeated
 *   headers, renames them in lower case, adds `connection`, drops trailers, and throws where a status is not valid.
 * - option `buffer` is the attempt, which sends the body when there is a connection to send it on.
 * - `proxyTimeout` is not used: it cuts silent event streams and does not see the wait for a connection.
 */
export function createMiddlewareForward(limits: AgentLimits, deadlines: Deadlines): MiddlewareForward {
  const targets = new WeakMap<Instance, Target>();
  const targetOfRequest = Symbol('target');
  type Routed = IncomingMessage & { [targetOfRequest]?: Target };

  // httpxy emits `start` and makes the request in one go, so the request that an agent sees next belongs to this attempt.
  let starting: Attempt | null = null;
  const makeAgents = () =>
    createAgents(limits, (request) => {
      starting?.made(request);
      starting = null;
    });
  const agents = makeAgents();
  // A bulkhead: bodies that come slowly hold their connections, and must not hold those that reads need.
  const bodyAgents = makeAgents();

  const hooks: Plugin<IncomingMessage, ServerResponse> = (proxy) => {
    proxy.on('start', (req) => {
      const attempt = attemptOf(req);
      if (attempt === undefined) return;
      req.headers = attempt.outgoing.headers as typeof req.headers;
      starting = attempt;
    });
    proxy.on('proxyRes', (answer, req) => attemptOf(req)?.answered(answer as Answer));
    // Requests report their errors to their attempts; this one hears of requests that could not even be made.
    proxy.on('error', (error, req) => {
      if (req !== undefined) attemptOf(req)?.failBeforeRequest(error);
    });
  };

  const middleware = createProxyMiddleware<IncomingMessage, ServerResponse>({
    router: (req, _res, routed) => {
      const target = (req as Routed)[targetOfRequest]!;
      const attempt = attemptOf(req);
      const hasBody = attempt !== undefined && attempt.outgoing.body.kind !== 'none';
      routed.agent = (hasBody ? bodyAgents : agents)[target.protocol];
      routed.buffer = attempt as unknown as NonNullable<typeof routed.buffer>;
      return target;
    },
    selfHandleResponse: true,
    ejectPlugins: true,
    plugins: [hooks],
  });

  function targetOf(instance: Instance): Target {
    let target = targets.get(instance);
    if (target === undefined) {
      target = parseOrigin(instance.origin);
      targets.set(instance, target);
    }
    return target;
  }

  const start: StartAttempt = (parts, instance) => {
    const { req, res } = parts;
    (req as Routed)[targetOfRequest] = targetOf(instance);
    const attempt = new Attempt({ ...parts, onOver: () => deadlines.remove(place) });
    const place = deadlines.add(attempt);
    req.headers = bodyLengthSaid;
    // The middleware's path filter parses the URL before anything else and gives up on targets such as `//`.
    const { url } = req;
    req.url = '/';
    middleware(req, res, () => attempt.failBeforeRequest(new Error('http-proxy-middleware passed the request by')));
    if (url !== undefined) req.url = url;
  };

  return {
    start,
    close() {
      agents.close();
      bodyAgents.close();
    },
  };
}

/** Stands in for the request's headers while httpxy looks whether it should add `content-length: 0` to them. */
const bodyLengthSaid = Object.freeze({ 'content-length': '0' });

function parseOrigin(origin: string): Target {
  const { protocol, hostname, port } = new URL(origin);
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw new Error(`Origin of an instance: expected http:// or https://, found "${origin}".`);
  }
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return { protocol, host, port: Number(port) || (protocol === 'https:' ? 443 : 80) };
}
