import { pause } from '../backoff.ts';
import type { ConsulClient } from './client.ts';
import { ConsulRefused } from './errors.ts';

export type ServiceRegistration = {
  /** The service's name; every instance of it has the same. */
  name: string;
  /** This instance's own. */
  id: string;
  address: string;
  port: number;
  tags?: string[];
  meta?: Record<string, string>;
  check?: {
    /** Asked at `http://address:port`, `/health/ready` unless told. */
    httpPath?: string;
    /** 1000 ms unless told, which is the shortest Consul takes. */
    intervalMs?: number;
    /**
     * How long the check may take, 5000 ms unless told: one that answers late is slow, and no less at work than the requests
     * that make it so. Longer than a readiness check itself, which names what hangs.
     */
    timeoutMs?: number;
    /** Consul drops an instance that was critical for so long: 60 000 ms unless told, which is the least it takes. */
    deregisterAfterMs?: number;
  };
  /** How often to look whether the agent still knows this instance, 3000 ms unless told. */
  lookEveryMs?: number;
};

export type Registered = {
  /** Whether the agent knew this instance when last asked. */
  registered(): boolean;
  /** Takes the instance out; may be called again. Bounded by 7 s; never throws: Consul's own check is the fallback. */
  deregister(): Promise<void>;
};

const callTimeoutMs = 2000;
/** An agent that was late once would send requests here for a minute more, until its check has dropped the instance. */
const mostTries = 2;
const betweenTriesMs = 200;

/**
 * Registers an instance with the local agent and keeps it registered: an agent that was away, or restarted
 * and forgot it, is told again. Never throws for an agent that is away, so that a process can start without it.
 */
export async function register(consul: ConsulClient, registration: ServiceRegistration): Promise<Registered> {
  const { name, id, lookEveryMs = 3000 } = registration;
  const log = consul.log.child({ service: name, instance: id });
  const stopping = new AbortController();
  let state: 'unknown' | 'registered' | 'failing' = 'unknown';
  let told = false;

  async function keep(): Promise<void> {
    try {
      if (!told || !(await knows(consul, id, stopping.signal))) {
        await tell(consul, registration);
        log.info(
          told ? 'registered with Consul again: its agent had forgotten this instance' : 'registered with Consul',
        );
        told = true;
      } else if (state === 'failing') {
        log.info('Consul is back, and knows this instance still');
      }
      state = 'registered';
    } catch (error) {
      if (stopping.signal.aborted) return;
      if (state !== 'failing') log.warn({ err: error }, 'Consul cannot be told or asked of this instance; trying on');
      state = 'failing';
    }
  }

  async function watchOver(): Promise<void> {
    while ((await pause(lookEveryMs * (0.8 + 0.4 * Math.random()), stopping.signal)) === 'elapsed') await keep();
  }

  async function takeOut(): Promise<void> {
    stopping.abort();
    // A registration that is under way, which is not cut short, would otherwise arrive after the deregistration.
    await watching;
    state = 'unknown';
    for (let tries = 1; ; tries += 1) {
      try {
        await takeOutOnce();
        return;
      } catch (error) {
        if (tries === mostTries) {
          log.warn({ err: error }, 'not deregistered from Consul; its health check will take this instance out');
          return;
        }
        await pause(betweenTriesMs);
      }
    }
  }

  async function takeOutOnce(): Promise<void> {
    try {
      await consul.connection.call(
        `deregister ${id}`,
        'write',
        (client, wire) => client.agent.service.deregister({ id, ...wire }),
        { timeoutMs: callTimeoutMs },
      );
      log.info('deregistered from Consul');
    } catch (error) {
      if (!(error instanceof ConsulRefused && error.status === 404)) throw error;
    }
  }

  await keep();
  const watching = watchOver();
  let takingOut: Promise<void> | undefined;
  return {
    registered: () => state === 'registered',
    deregister: () => {
      takingOut ??= takeOut();
      return takingOut;
    },
  };
}

async function knows(consul: ConsulClient, id: string, signal: AbortSignal): Promise<boolean> {
  const services = await consul.connection.call(
    `look for ${id}`,
    'read',
    (client, wire) => client.agent.service.list({ filter: `ID == ${JSON.stringify(id)}`, ...wire }),
    { timeoutMs: callTimeoutMs, signal },
  );
  return id in services;
}

async function tell(
  consul: ConsulClient,
  { name, id, address, port, tags = [], meta = {}, check = {} }: ServiceRegistration,
): Promise<void> {
  const { httpPath = '/health/ready', intervalMs = 1000, timeoutMs = 5000, deregisterAfterMs = 60_000 } = check;
  const host = address.includes(':') ? `[${address}]` : address;
  await consul.connection.call(
    `register ${id}`,
    'write',
    (client, wire) =>
      client.agent.service.register({
        name,
        id,
        address,
        port,
        tags,
        meta,
        check: {
          name: `${name} ready`,
          http: `http://${host}:${port}${httpPath}`,
          interval: `${intervalMs}ms`,
          timeout: `${timeoutMs}ms`,
          deregistercriticalserviceafter: `${deregisterAfterMs}ms`,
        },
        ...wire,
      }),
    { timeoutMs: callTimeoutMs },
  );
}
