import { createCacheLink } from '@strangler/platform/cache/cache-link.ts';
import { createInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { everythingScope } from '@strangler/platform/cache/scope.ts';
import type { Log } from '@strangler/platform/log.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import type { Registry } from 'prom-client';
import type { Accepted } from '../../accept/accept.ts';
import type { AnswerHeaders } from '../../forward/forwarder.ts';
import { listenForChanges } from './change-listener.ts';
import { type ChangeName, uriScope } from './changes.ts';
import { type CacheMetrics, createCacheMetrics } from './metrics.ts';
import { createResponseCache, type ResponseCache } from './response-cache.ts';
import { createCacheStore } from './store.ts';
import { writerOf, wroteAtSetCookie } from './writers.ts';

/** The cache of one process, shared by all of its policies. */
export type RunningCache = ResponseCache & {
  metrics: CacheMetrics;
  /** Answers of some route stand on these from now on. */
  follow(changes: readonly ChangeName[]): void;
  /** A write was taken, by whoever did it: what is kept of its URI goes, and its sender is shown nothing older. */
  wrote(accepted: Pick<Accepted, 'facts' | 'outgoing'>): AnswerHeaders;
  stop(graceMs: number): Promise<void>;
};

export type OpenCacheOptions = {
  redisUrl: string;
  /** Before every key of the cache. */
  prefix?: string;
  /** Null: only time, and writes through the proxies, make answers untrue. */
  changes: { rabbitmqUrl: string; exchange: string; queue: string } | null;
  /** For how long after a write the other side may not have it. */
  windowMs: number;
  /** How long a request waits for Redis. */
  timeoutMs: number;
  /** Whether its cookie is for TLS connections only. */
  secureCookie: boolean;
  log: Log;
  registry: Registry;
};

/** No answer is kept longer, whatever the gateway file says, and no writer is remembered longer. */
export const longestKeptMs = 24 * 3_600_000;

/** Opens it; Redis and RabbitMQ may be away, now and later. */
export function openCache(options: OpenCacheOptions): RunningCache {
  const { redisUrl, prefix = 'strangler-cache:', changes, windowMs, timeoutMs, secureCookie, log, registry } = options;
  const redis = createRedis({ url: redisUrl, log, prefix, commandTimeoutMs: timeoutMs });
  const link = createCacheLink({ redis, log });
  const invalidation = createInvalidation({ link, log, registry, name: 'strangler_cache' });
  const store = createCacheStore({ link, longestMs: longestKeptMs });
  const metrics = createCacheMetrics(registry);
  const cache = createResponseCache({ store, invalidation, metrics, windowMs });
  const rabbit = changes === null ? null : connect({ url: changes.rabbitmqUrl, log });
  const listener =
    changes === null || rabbit === null
      ? null
      : listenForChanges({ rabbit, exchange: changes.exchange, queue: changes.queue, invalidation, log, registry });

  return {
    serve: cache.serve,
    metrics,
    follow: (names) => listener?.listenFor(names),
    wrote({ facts, outgoing }) {
      const nowMs = Date.now();
      const settle = (work: Promise<unknown>): void => {
        work.catch((error: unknown) => log.error({ err: error }, 'the cache could not be told of a write'));
      };
      settle(invalidation.changed([uriScope(hostOf(facts.headers), outgoing.target)]));
      const writer = writerOf(facts);
      if (writer !== null) {
        // Whom no cookie and no Redis tells of is told apart from nobody: then everything that is kept is given up.
        settle(
          store.wrote(writer, nowMs).then((known) => (known ? undefined : invalidation.changed([everythingScope]))),
        );
      }
      return ['Set-Cookie', wroteAtSetCookie(nowMs, longestKeptMs, secureCookie)];
    },
    async stop(graceMs) {
      await listener?.stop(graceMs);
      invalidation.close();
      await rabbit?.close();
      await redis.close();
    },
  };
}

/** `Host` in lower case; empty where there is none. */
export const hostOf = (headers: Accepted['facts']['headers']): string => {
  const { host } = headers;
  return (typeof host === 'string' ? host : '').toLowerCase();
};
