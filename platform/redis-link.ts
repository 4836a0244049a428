import type * as redis from 'redis';
import { type Backoff, nextBackoffMs } from './backoff.ts';
import type { Log } from './log.ts';

export type RedisClient = ReturnType<typeof redis.createClient>;

/** One connection to Redis, kept up in the background and replaced when it no longer answers. */
export type RedisLink = {
  /** The present client, of use once `ready`: not to be kept, for it is another one after a stall. */
  client(): RedisClient;
  ready(): boolean;
  /** Resolves when the first try to connect begins. */
  readonly trying: Promise<void>;
  /** Resolves when the first try to connect has come to its end, well or not. */
  readonly tried: Promise<void>;
  /** Whether Redis itself said this, and not the way to it. */
  isReply(error: unknown): error is redis.ErrorReply;
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
  checkAddress(url);
  let state: 'starting' | 'ready' | 'away' | 'closed' = 'starting';
  const tried = Promise.withResolvers<void>();
  let current: RedisClient | undefined;
  let library: typeof redis | undefined;
  // 650 modules, which a process that is told of no Redis does not load.
  const trying = import('redis').then((loaded) => {
    library = loaded;
    if (state !== 'closed') current = open(loaded);
  });

  function away(client: RedisClient, reason: unknown): void {
    if (client !== current || state === 'away' || state === 'closed') return;
    const wasReady = state === 'ready';
    state = 'away';
    log.warn({ err: reason }, 'Redis is away; going on without it');
    tried.resolve();
    if (wasReady) onAway?.();
  }

  function open({ createClient }: typeof redis): RedisClient {
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
    client() {
      if (current === undefined)
        throw new Error('expected a Redis that is ready, found one that is still being opened');
      return current;
    },
    ready: () => state === 'ready' && current?.isReady === true,
    trying,
    tried: tried.promise,
    isReply: (error): error is redis.ErrorReply => library !== undefined && error instanceof library.ErrorReply,
    replace(reason) {
      if (state === 'closed' || current === undefined || library === undefined) return;
      const stalled = current;
      away(stalled, new Error(reason));
      current = open(library);
      stalled.destroy();
    },
    async close() {
      if (state === 'closed') return;
      state = 'closed';
      tried.resolve();
      // Not `close`, which waits for answers that a stalled Redis never gives.
      if (current?.isOpen) current.destroy();
    },
  };
}

/** What the client would refuse, said before it is there. @throws TypeError, URIError */
function checkAddress(address: string): void {
  const nothing = { protocol: 'none', username: '', password: '', pathname: '' };
  const { protocol, username, password, pathname } = URL.canParse(address) ? new URL(address) : nothing;
  if (protocol !== 'redis:' && protocol !== 'rediss:') {
    throw new TypeError(`Redis's address: expected redis://host:port, found the protocol ${protocol}`);
  }
  // A URIError where an escape in them is broken.
  decodeURIComponent(username + password);
  if (Number.isNaN(Number(pathname.slice(1)))) {
    throw new TypeError(`Redis's address: expected the number of a database after host and port, found ${pathname}`);
  }
}
