import { epochHeader } from '@strangler/platform/contracts/headers.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { Instance } from '../upstream/upstream.ts';
import { type AttemptParts, defaultForwardTimes, type ForwardTimes } from './attempt.ts';
import { type BodyRate, defaultBodyRate } from './body-pace.ts';
import { createDeadlines } from './deadlines.ts';
import type { Forward } from './forwarder.ts';
import { createMiddlewareForward } from './hpm-forward.ts';
import { ReadAttempt } from './read-attempt.ts';
import { createReadConnections } from './read-connections.ts';
import { type AgentLimits, defaultAgentLimits } from './upstream-agent.ts';

export type ForwardOptions = {
  times?: Partial<ForwardTimes>;
  agent?: Partial<AgentLimits>;
  /** A body counted beyond this many bytes ends the attempt. */
  maxBodyBytes: number;
  /** What a client's body must come at. */
  bodyRate?: Partial<BodyRate>;
};

export type RunningForward = {
  forward: Forward;
  /** Closes idle connections; what is under way goes on. */
  close(): void;
};

/** Sends one attempt on its way. */
export type StartAttempt = (parts: Omit<AttemptParts, 'onOver'>, instance: Instance) => void;

/** Time-outs are noticed this late at most, and within a quarter of the shortest of them. */
const coarsestCheckMs = 100;

/**
 * Forwards in one of two ways. A plain read goes by undici, whose client costs half of what Node's does; everything with a body, or
 * with something to say about its connection, goes by http-proxy-middleware. To client and upstream both look the same.
 */
export function createForward(options: ForwardOptions): RunningForward {
  const times: ForwardTimes = { ...defaultForwardTimes, ...options.times };
  const shortTimes: ForwardTimes = {
    ...times,
    answerTimeoutMs: Math.min(times.answerTimeoutMs, times.fallbackTimeoutMs),
  };
  const limits = { ...defaultAgentLimits, ...options.agent };
  const bodyRate: BodyRate = { ...defaultBodyRate, ...options.bodyRate };
  const deadlines = createDeadlines(Math.min(coarsestCheckMs, ...Object.values(times).map((ms) => ms / 4)));
  const middleware = createMiddlewareForward(limits, deadlines);
  const reads = createReadConnections(limits, times.connectTimeoutMs);

  const startRead: StartAttempt = (parts, instance) => {
    const attempt = new ReadAttempt({
      ...parts,
      onOver: () => deadlines.remove(place),
      onUnaskedContinue: () => middleware.start(parts, instance),
    });
    const place = deadlines.add(attempt);
    reads.send(instance.origin, parts.outgoing, attempt);
  };

  const forward: Forward = (req, res, outgoing, instance, addToAnswer, patience) =>
    new Promise((resolve) => {
      if (res.destroyed) {
        resolve({ kind: 'client-aborted', error: 'client-aborted-response', latencyMs: 0 });
        return;
      }
      const start = isPlainRead(outgoing, instance) ? startRead : middleware.start;
      start(
        {
          req,
          res,
          outgoing,
          addToAnswer,
          times: patience === 'short' ? shortTimes : times,
          maxBodyBytes: options.maxBodyBytes,
          bodyRate,
          onEnd: resolve,
        },
        instance,
      );
    });

  return {
    forward,
    close() {
      deadlines.close();
      middleware.close();
      reads.close();
    },
  };
}

/**
 * Whether a request is one that undici sends as it stands: no body, no word about its connection (RFC 9110 §10.1.4), no epoch that the
 * instance may refuse, no TLS, whose server name undici takes from each request's Host. It closes the connection after a HEAD, and knows no `*`.
 */
function isPlainRead({ method, target, headers, body }: OutgoingRequest, { origin }: Instance): boolean {
  return (
    method === 'GET' &&
    body.kind === 'none' &&
    target.charCodeAt(0) === 0x2f /* / */ &&
    headers.Connection === undefined &&
    headers[epochHeader] === undefined &&
    origin.startsWith('http:')
  );
}
