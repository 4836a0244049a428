import { pause } from './backoff.ts';
import type { Log } from './log.ts';
import { openRedisLink, type RedisClient } from './redis-link.ts';

export type RedisListener = (message: string, channel: string) => void;

/** Pub/sub on a connection of its own. */
export type RedisSubscriber = {
  /** From now on, and again after each reconnection, until the returned function is called. */
  subscribe(channel: string, listener: RedisListener): () => void;
  /** Whether every channel is being listened to. */
  ready(): boolean;
  close(): Promise<void>;
};

export type RedisSubscriberOptions = {
  url: string;
  log: Log;
  /**
   * Called each time listening begins, the first time and after each gap: Redis keeps no messages, so whatever
   * these would have told of (what to drop from a cache, say) has to be looked at anew.
   */
  missed?(): void;
  /** How often the connection is asked for a sign of life, 1000 ms unless told; one unanswered question replaces it. */
  probeEveryMs?: number;
};

/** Starts connecting and returns; Redis may be away. */
export function createRedisSubscriber({
  url,
  log,
  missed,
  probeEveryMs = 1000,
}: RedisSubscriberOptions): RedisSubscriber {
  const wanted = new Map<string, Set<RedisListener>>();
  const stopping = new AbortController();
  let listening = false;

  function deliver(message: string, channel: string): void {
    for (const listener of wanted.get(channel) ?? []) {
      try {
        listener(message, channel);
      } catch (error) {
        log.error({ err: error, channel }, 'a Redis listener failed');
      }
    }
  }

  const link = openRedisLink({
    url,
    log,
    onReady: (client) => void listen(client),
    onAway: () => {
      listening = false;
    },
  });

  async function listen(client: RedisClient): Promise<void> {
    try {
      if (wanted.size > 0) await client.subscribe([...wanted.keys()], deliver);
      listening = true;
      missed?.();
    } catch (error) {
      // The connection was lost again; the next one begins anew.
      log.debug({ err: error }, 'subscribing to Redis channels was interrupted');
    }
  }

  async function probe(): Promise<void> {
    while ((await pause(probeEveryMs, stopping.signal)) === 'elapsed') {
      if (!link.ready()) continue;
      const answered = new AbortController();
      const pong = link
        .client()
        .ping()
        .then(
          () => 'answered',
          () => 'answered',
        );
      const outcome = await Promise.race([
        pong,
        pause(probeEveryMs, AbortSignal.any([answered.signal, stopping.signal])),
      ]);
      answered.abort();
      if (outcome === 'elapsed') link.replace(`no answer to PING within ${probeEveryMs} ms`);
    }
  }

  const probing = probe();
  return {
    subscribe(channel, listener) {
      const listeners = wanted.get(channel) ?? new Set();
      const fresh = listeners.size === 0;
      wanted.set(channel, listeners.add(listener));
      if (fresh && link.ready())
        link
          .client()
          .subscribe(channel, deliver)
          .catch(() => {});
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0 || wanted.get(channel) !== listeners) return;
        wanted.delete(channel);
        if (link.ready())
          link
            .client()
            .unsubscribe(channel, deliver)
            .catch(() => {});
      };
    },
    ready: () => listening && link.ready(),
    async close() {
      stopping.abort();
      await Promise.all([probing, link.close()]);
    },
  };
}
