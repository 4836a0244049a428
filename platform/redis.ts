import { types } from 'node:util';
import { Counter, Gauge, type Registry } from 'prom-client';
import { pause } from './backoff.ts';
import type { Log } from './log.ts';
import { openRedisLink, type RedisClient } from './redis-link.ts';

/** Why `run` had no answer: not connected; connected but too slow; Redis would not (loading, out of memory…). */
export type RedisMiss = 'away' | 'late' | 'refused';

export type Redis = {
  /** The present client, for what `run` does not fit. Take it from here each time: a stall replaces it. */
  readonly client: RedisClient;
  ready(): boolean;
  /**
   * Waits for the first connection, for whom nothing is of use without one: whether it is there. false as soon as the first
   * try has failed, or after `withinMs`, or when the signal fires.
   */
  connected(withinMs: number, signal?: AbortSignal): Promise<boolean>;
  /**
   * Runs a command, or a few, and gives their answer; undefined, never later than the time-out, when Redis is
   * away or late or refuses (a late command may still have its effect). Throws what Redis says of a wrong command.
   */
  run<T>(command: (client: RedisClient) => Promise<T>): Promise<T | undefined>;
  /** How often `run` had no answer so far. */
  misses(): Readonly<Record<RedisMiss, number>>;
  close(): Promise<void>;
};

export type RedisOptions = {
  url: string;
  log: Log;
  /** Put before every key that is sent (not before channels, nor before patterns of KEYS and SCAN). */
  prefix?: string;
  /** How long `run` waits for an answer, 50 ms unless told. */
  commandTimeoutMs?: number;
  /** How long one try to connect may take, 2000 ms unless told. */
  connectTimeoutMs?: number;
  /** When every answer was late for so long, the connection is replaced: 1000 ms unless told. */
  stallAfterMs?: number;
  maxPending?: number;
  /** Registers `redis_ready` and `redis_misses_total{reason}`. */
  registry?: Registry;
};

const tooLate = Symbol('late');

const awayErrors = new Set([
  'AbortError',
  'TimeoutError',
  'ClientClosedError',
  'ClientOfflineError',
  'DisconnectsClientError',
  'SocketClosedUnexpectedlyError',
  'SocketTimeoutError',
  'ConnectionTimeoutError',
  'ReconnectStrategyError',
]);
const refusals = /^(LOADING|MASTERDOWN|CLUSTERDOWN|READONLY|OOM|BUSY|MISCONF|NOREPLICAS|TRYAGAIN)\b/;

/** Redis as something that may be missing: nothing is queued for it, and nobody waits long for it. */
export function createRedis(options: RedisOptions): Redis {
  const { url, log, prefix, commandTimeoutMs = 50, stallAfterMs = 1000, registry } = options;
  const { connectTimeoutMs, maxPending } = options;
  const misses: Record<RedisMiss, number> = { away: 0, late: 0, refused: 0 };
  let lateSince: number | undefined;
  const link = openRedisLink({
    url,
    log,
    ...(prefix === undefined ? {} : { prefix }),
    ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
    ...(maxPending === undefined ? {} : { maxPending }),
    onReady: () => {
      lateSince = undefined;
    },
  });
  const counter = registry && measure(registry, link.ready);

  function missed(reason: RedisMiss): undefined {
    misses[reason] += 1;
    counter?.inc({ reason });
    return undefined;
  }

  function late(): undefined {
    const now = performance.now();
    lateSince ??= now;
    if (now - lateSince >= stallAfterMs && link.ready()) {
      lateSince = undefined;
      link.replace(`no answer within ${commandTimeoutMs} ms for ${stallAfterMs} ms`);
    }
    return missed('late');
  }

  async function run<T>(command: (client: RedisClient) => Promise<T>): Promise<T | undefined> {
    if (!link.ready()) return missed('away');
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<typeof tooLate>((resolve) => {
      // A process that was itself busy for so long has answers waiting that it has not yet read.
      timer = setTimeout(() => setImmediate(resolve, tooLate), commandTimeoutMs);
    });
    const answer = command(link.client());
    // When it is late, nobody awaits it any more.
    answer.catch(() => {});
    try {
      const first = await Promise.race([answer, timeout]);
      if (first === tooLate) return late();
      lateSince = undefined;
      return first as T;
    } catch (error) {
      if (link.isReply(error)) {
        if (refusals.test(error.message)) return missed('refused');
        throw error;
      }
      if (isAway(error)) return missed('away');
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async function connected(withinMs: number, signal?: AbortSignal): Promise<boolean> {
    await link.trying;
    const over = new AbortController();
    const signals = signal === undefined ? [over.signal] : [over.signal, signal];
    await Promise.race([link.tried, pause(withinMs, AbortSignal.any(signals))]);
    over.abort();
    return link.ready();
  }

  return {
    get client() {
      return link.client();
    },
    ready: link.ready,
    connected,
    run,
    misses: () => ({ ...misses }),
    close: link.close,
  };
}

function isAway(error: unknown): boolean {
  if (!types.isNativeError(error)) return false;
  const { code } = error as NodeJS.ErrnoException;
  return (
    awayErrors.has(error.constructor.name) || code?.startsWith('E') === true || error.message === 'The queue is full'
  );
}

function measure(registry: Registry, ready: () => boolean): Counter<'reason'> {
  new Gauge({
    name: 'redis_ready',
    help: '1 while connected to Redis',
    registers: [registry],
    collect() {
      this.set(ready() ? 1 : 0);
    },
  });
  return new Counter({
    name: 'redis_misses_total',
    help: 'Commands without an answer from Redis, by reason: away, late, refused',
    labelNames: ['reason'],
    registers: [registry],
  });
}
