import type { Readable } from 'node:stream';
import type { OutgoingRequest } from '../../accept/outgoing.ts';
import type { AttemptRecord } from '../../account/account.ts';
import type { Decision } from '../../decide/decision.ts';
import type { Forward } from '../../forward/forwarder.ts';
import { type Tried, tryInstances } from '../../retry/try-instances.ts';
import type { Instance, Upstreams } from '../../upstream/upstream.ts';
import { createInnerExchange, type InnerHead } from './inner-exchange.ts';

/** What an upstream answered, its body still to be read; or why none did. */
export type OriginAnswer =
  | {
      kind: 'answer';
      head: InnerHead;
      body: Readable;
      instance: Instance;
      decision: Decision;
      requestedAtMs: number;
      receivedAtMs: number;
      /** How it ended, once the body was read or destroyed. */
      over: Promise<Tried>;
    }
  | { kind: 'failed'; tried: Exclude<Tried, { kind: 'answered' }> };

/** Asks whoever has been decided on; the request must have no body. */
export type AskOrigin = (asked: {
  outgoing: OutgoingRequest;
  decision: Decision;
  /** Gets a record of each attempt. */
  attempts: AttemptRecord[];
  /** Ends the exchange; what came by then is lost. */
  signal?: AbortSignal;
}) => Promise<OriginAnswer>;

/** Requests of the proxy's own take the same way to an instance as those of clients: its pools, retries and fallback. */
export function createAskOrigin({ upstreams, forward }: { upstreams: Upstreams; forward: Forward }): AskOrigin {
  return async ({ outgoing, decision, attempts, signal }) => {
    const exchange = createInnerExchange(outgoing.method);
    const requestedAtMs = Date.now();
    let asked: Instance | null = null;
    const abort = (): void => void exchange.body.destroy();
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    // Whoever reads the body hears of its errors; nobody else needs to.
    exchange.body.on('error', () => {});

    const over = tryInstances({
      upstreams,
      decision,
      hasBody: false,
      attempts,
      tryOne: (instance, side) => {
        asked = instance;
        outgoing.tap?.sentTo(side);
        const patience = side === 'service' && decision.monolithMayServe ? 'short' : 'usual';
        return forward(exchange.req, exchange.res, outgoing, instance, [], patience);
      },
    }).finally(() => signal?.removeEventListener('abort', abort));
    const first = await Promise.race([exchange.head, over]);
    if ('status' in first && !('kind' in first)) {
      const receivedAtMs = Date.now();
      return {
        kind: 'answer',
        head: first,
        body: exchange.body,
        instance: asked!,
        decision,
        requestedAtMs,
        receivedAtMs,
        over,
      };
    }
    exchange.body.destroy();
    const tried = first as Tried;
    if (tried.kind !== 'answered') return { kind: 'failed', tried };
    // Only a refused epoch is kept back, and only writes carry one.
    throw new Error('a request of the proxy was answered without a head');
  };
}
