import { pause } from '../backoff.ts';
import type { ConsulClient } from './client.ts';
import { ConsulRefused } from './errors.ts';

export type SessionOptions = {
  name: string;
  /** How long Consul keeps the session without a renewal, at least 10 000 ms; Consul may take up to twice as long. */
  ttlMs: number;
  /** What becomes of the keys it holds when it ends. */
  behavior: 'release' | 'delete';
  /** How long nobody else may take a key it held, 0 unless told. */
  lockDelayMs?: number;
  /** Called once when the session is gone, or can no longer be proved alive; never after `destroy`. */
  lost(reason: Error): void;
};

export type ConsulSession = {
  readonly id: string;
  /** False once lost or destroyed. By this process's clock: it says false no later than Consul's TTL runs out. */
  alive(): boolean;
  /** For how long it surely lives, in milliseconds, though nothing more be heard from Consul; 0 when it is gone. */
  leftMs(): number;
  /** Ends it, and with it what it holds. May be called again; never throws: the TTL is the fallback. */
  destroy(): Promise<void>;
};

const callTimeoutMs = 2000;

/** Makes a session and renews it three times a TTL. Throws when it cannot be made. */
export async function createSession(consul: ConsulClient, options: SessionOptions): Promise<ConsulSession> {
  const { name, ttlMs, behavior, lockDelayMs = 0, lost } = options;
  if (ttlMs < 10_000 || ttlMs > 86_400_000) {
    throw new RangeError(`session ${name}: expected a ttlMs between 10000 and 86400000, found ${ttlMs}`);
  }
  let provedAt = performance.now();
  const { ID: id } = await consul.connection.call('session.create', 'write', (client, wire) =>
    client.session.create({ name, behavior, ttl: `${ttlMs}ms`, lockdelay: `${lockDelayMs}ms`, ...wire }),
  );
  const log = consul.log.child({ session: name, sessionId: id });
  const stopping = new AbortController();
  let state: 'alive' | 'lost' | 'destroyed' = 'alive';

  function lose(reason: Error): void {
    if (state !== 'alive') return;
    state = 'lost';
    stopping.abort();
    log.warn({ err: reason }, 'Consul session lost');
    try {
      lost(reason);
    } catch (error) {
      log.error({ err: error }, 'the handler of a lost Consul session failed');
    }
  }

  const leftMs = () => ttlMs - (performance.now() - provedAt);

  async function renew(): Promise<'renewed' | 'retry' | 'ended'> {
    const askedAt = performance.now();
    try {
      const timeoutMs = Math.max(1, Math.min(callTimeoutMs, leftMs()));
      await consul.connection.call('session.renew', 'write', (client, wire) => client.session.renew({ id, ...wire }), {
        timeoutMs,
        signal: stopping.signal,
      });
      provedAt = askedAt;
      return 'renewed';
    } catch (error) {
      if (stopping.signal.aborted) return 'ended';
      if (error instanceof ConsulRefused && error.status === 404) {
        lose(
          new Error(`Consul has ended session ${id} (${name}): make another, and take its keys again`, {
            cause: error,
          }),
        );
        return 'ended';
      }
      return 'retry';
    }
  }

  async function keepAlive(): Promise<void> {
    let delayMs = ttlMs / 3;
    while ((await pause(Math.max(0, Math.min(delayMs, leftMs())), stopping.signal)) === 'elapsed') {
      if (leftMs() <= 0) {
        lose(new Error(`session ${id} (${name}) could not be renewed for ${ttlMs} ms: Consul may have ended it`));
        return;
      }
      const outcome = await renew();
      if (outcome === 'ended') return;
      delayMs = outcome === 'renewed' ? (ttlMs / 3) * (0.8 + 0.2 * Math.random()) : 500;
    }
  }

  async function end(): Promise<void> {
    const wasAlive = state === 'alive';
    state = 'destroyed';
    stopping.abort();
    await keeping;
    if (!wasAlive) return;
    try {
      await consul.connection.call(
        'session.destroy',
        'write',
        (client, wire) => client.session.destroy({ id, ...wire }),
        {
          timeoutMs: callTimeoutMs,
        },
      );
    } catch (error) {
      log.warn({ err: error }, 'Consul session not destroyed; its TTL will end it');
    }
  }

  const keeping = keepAlive();
  let ending: Promise<void> | undefined;
  return {
    id,
    alive: () => state === 'alive' && leftMs() > 0,
    leftMs: () => (state === 'alive' ? Math.max(0, leftMs()) : 0),
    destroy: () => {
      ending ??= end();
      return ending;
    },
  };
}
