import { Client, type Dispatcher, Pool } from 'undici';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { ConnectionAge } from './forwarder.ts';
import { type AgentLimits, announcedTimeMarginMs } from './upstream-agent.ts';

/** One connection, as what travels on it sees it. */
export type Carrier = {
  /** Counts one request more. Says whether the connection has carried one before. */
  carry(): ConnectionAge;
};

/** Who hears of a request's answer, and first of the connection that has been chosen for it, which need not be made yet. */
export type Traveller = Dispatcher.DispatchHandler & { travelsOn(carrier: Carrier): void };

export type ReadConnections = {
  /** Sends a request to an origin when a connection is free. */
  send(origin: string, request: Pick<OutgoingRequest, 'method' | 'target' | 'headers'>, traveller: Traveller): void;
  /** Origins to which there are connections, or were a moment ago. */
  origins(): number;
  /** Closes idle connections, and the others when they have done their work. */
  close(): void;
};

/** Connections for reads, one pool an origin, which goes with its last connection. */
export function createReadConnections(limits: AgentLimits, connectTimeoutMs: number): ReadConnections {
  const pools = new Map<string, Pool>();

  function poolOf(origin: string): Pool {
    let pool = pools.get(origin);
    if (pool === undefined) {
      pool = openPool(origin);
      pools.set(origin, pool);
    }
    return pool;
  }

  function openPool(origin: string): Pool {
    const pool = new Pool(origin, {
      connections: limits.maxSockets,
      // One after the other on a connection: a late answer must hold up nobody else's.
      pipelining: 1,
      factory: (url, options) => new Connection(url, options as Client.Options),
      connect: { timeout: connectTimeoutMs },
      // Attempts look at their own time.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: limits.idleTimeoutMs,
      keepAliveMaxTimeout: limits.idleTimeoutMs,
      keepAliveTimeoutThreshold: announcedTimeMarginMs,
      maxHeaderSize: limits.maxAnswerHeaderBytes,
    });
    const forget = () => {
      const { connected, size } = pool.stats;
      if (connected === 0 && size === 0 && pools.get(origin) === pool) pools.delete(origin);
    };
    pool.on('disconnect', forget);
    pool.on('connectionError', forget);
    return pool;
  }

  return {
    send(origin, { method, target, headers }, traveller) {
      const request: ReadRequest = { method, path: target, headers, body: null, traveller };
      poolOf(origin).dispatch(request, traveller);
    },
    origins: () => pools.size,
    close() {
      for (const pool of pools.values()) void pool.close();
    },
  };
}

/** The pool gives the request to its connections as it got it, the handler only in a cover of its own. */
type ReadRequest = Dispatcher.DispatchOptions & { traveller: Traveller };

/** A client of undici's, which is one connection after the other, that knows how much the one it has now has carried. */
class Connection extends Client implements Carrier {
  #carried = 0;

  constructor(...[origin, options]: ConstructorParameters<typeof Client>) {
    super(origin, options);
    this.on('connect', () => {
      this.#carried = 0;
    });
  }

  carry(): ConnectionAge {
    this.#carried += 1;
    return this.#carried === 1 ? 'fresh' : 'reused';
  }

  override dispatch(...[request, handler]: Parameters<Client['dispatch']>): boolean {
    (request as ReadRequest).traveller.travelsOn(this);
    return super.dispatch(request, handler);
  }
}
