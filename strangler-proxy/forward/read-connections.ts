import { Client, type Dispatcher, Pool } from 'undici';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { ConnectionAge } from './forwarder.ts';
import { type AgentLimits, announcedTimeMarginMs } from './upstream-agent.ts';

/** One connection, as what travels on it sees it. */
export type Carrier = {
  /** Counts one request more. Says whether the connection has carried one before. */
  carry(): ConnectionAge;
};

/** Who hears of a request's answer. */
export type Traveller = Dispatcher.DispatchHandler & {
  /** First of all: the connection that has been chosen, which need not be made yet. */
  travelsOn(carrier: Carrier): void;
  /** Nothing is sent, and nothing more is heard. */
  refused(why: string): void;
};

export type ReadConnections = {
  /** Sends a request to an origin when a connection is free; refuses it where too many wait for one. */
  send(origin: string, request: Pick<OutgoingRequest, 'method' | 'target' | 'headers'>, traveller: Traveller): void;
  /** Origins to which there are connections, or were a moment ago. */
  origins(): number;
  /** Closes idle connections, and the others when they have done their work. */
  close(): void;
};

/** Connections for reads, one pool an origin, which goes with its last connection. */
export function createReadConnections(limits: AgentLimits, connectTimeoutMs: number): ReadConnections {
  const pools = new Map<string, Queue>();
  const mostWaiting = limits.maxSockets * waitingForEachConnection;

  function queueAt(origin: string): Queue {
    let queue = pools.get(origin);
    if (queue === undefined) {
      queue = { pool: openPool(origin), waiting: 0 };
      pools.set(origin, queue);
    }
    return queue;
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
      if (connected === 0 && size === 0 && pools.get(origin)?.pool === pool) pools.delete(origin);
    };
    pool.on('disconnect', forget);
    pool.on('connectionError', forget);
    return pool;
  }

  return {
    send(origin, { method, target, headers }, traveller) {
      const queue = queueAt(origin);
      if (queue.waiting >= mostWaiting) {
        traveller.refused(`${queue.waiting} requests to ${origin} wait for a connection, and no more may`);
        return;
      }
      queue.waiting += 1;
      const request: ReadRequest = { method, path: target, headers, body: null, traveller, queue };
      queue.pool.dispatch(request, traveller);
    },
    origins: () => pools.size,
    close() {
      for (const { pool } of pools.values()) void pool.close();
    },
  };
}

/** `waiting`: requests that no connection has been chosen for. */
type Queue = { readonly pool: Pool; waiting: number };

/**
 * A request whose time is up while it waits cannot be taken out of undici's queue, and is under way no longer: the bounds on those under
 * way do not bound the queue. By the defaults twice as many may wait as may be under way at the monolith.
 */
const waitingForEachConnection = 8;

/** The pool gives the request to its connections as it got it, the handler only in a cover of its own. */
type ReadRequest = Dispatcher.DispatchOptions & { traveller: Traveller; queue: Queue };

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
    const { traveller, queue } = request as ReadRequest;
    queue.waiting -= 1;
    traveller.travelsOn(this);
    return super.dispatch(request, handler);
  }
}
