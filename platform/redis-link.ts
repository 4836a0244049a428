import { createClient } from 'redis';
import { type Backoff, nextBackoffMs } from './backoff.ts';
import type { Log } from './log.ts';

export type RedisClient = ReturnType<typeof createClient>;

/** One connection to Redis, kept up in the background and replaced when it no longer answers. */
export type RedisLink = {
  /** The present client: not to be kept, for it is another one after a stall. */
  client(): RedisClient;
  ready(): boolean;
  /** Resolves when the first try to connect has come to its end, well or not. */
  readonly tried: Promise<void>;
  /** Says that Redis holds the connection and does not answer on it: it is cut and another made. */
  replace(reason: string): void;
  close(): Promise<void>;
};

export type RedisLinkOptions = {
  url: string;
  log: Log;
  prefix?: string;
  /** How long one try to connect may take, 2000 ms unless told. */
  connectTimeoutMs?: number;
  /** Commands that may wait for their answers, 10 000 unless told; one more is refused at once. */
  maxPending?: number;
  onReady?(client: RedisClient): void;
  onAway?(): void;
};

const backoff: Backoff = { baseMs: 50, capMs: 2000 };

/** Starts connecting and returns; each change between ready and away is logged once. Throws only for a bad address. */
export function openRedisLink(options: RedisLinkOptions): RedisLink {
  const { url, log, prefix, connectTimeoutMs = 2000, maxPending = 10_000, onReady, onAway } = options;
  const protocol = URL.canParse(url) ? new URL(url).protocol : 'none';
  if (protocol !== 'redis:' && protocol !== 'rediss:') {
    throw new TypeError(`Redis's address: expected redis://host:port, found the protocol ${protocol}`);
  }
  let state: 'starting' | 'ready' | 'away' | 'closed' = 'starting';
  const tried = Promise.withResolvers<void>();
  let current = open();

  function away(client: RedisClient, reason: unknown): void {
    if (client !== current || state === 'away' || state === 'closed') return;
    const wasReady = state === 'ready';
    state = 'away';
    log.warn({ err: reason }, 'Redis is away; going on without it');
    tried.resolve();
    if (wasReady) onAway?.();
  }

  function open(): RedisClient {
    let delayMs: number | undefined;
    const client: RedisClient = createClient({
      url,
      ...(prefix === undefined ? {} : { keyPrefix: prefix }),
      disableOfflineQueue: true,
      commandsQueueMaxLength: maxPending,
      maintNotifications: 'disabled',
      socket: {
        connectTimeout: connectTimeoutMs,
        keepAlive: true,
        reconnectStrategy: () => {
          delayMs = nextBackoffMs(delayMs, backoff);
          return delayMs;
        },
      },
    });
    // `destroy` does not end a connection that is still being made; it is ended when it is there.
    client.on('connect', () => {
      if (client !== current || state === 'closed') client.destroy();
    });
    client.on('ready', () => {
      if (client !== current || state === 'closed') return;
      delayMs = undefined;
      state = 'ready';
      log.info('Redis is ready');
      tried.resolve();
      onReady?.(client);
    });
    client.on('error', (error) => away(client, error));
    // Settles when connected, or when closed before that; errors on the way come as events.
    client.connect().catch((error) => away(client, error));
    return client;
  }

  return {
    client: () => current,
    ready: () => state === 'ready' && current.isReady,
    tried: tried.promise,
    replace(reason) {
      if (state === 'closed') return;
      const stalled = current;
      away(stalled, new Error(reason));
      current = open();
      stalled.destroy();
    },
    async close() {
      if (state === 'closed') return;
      state = 'closed';
      tried.resolve();
      // Not `close`, which waits for answers that a stalled Redis never gives.
      if (current.isOpen) current.destroy();
    },
  };
}
