import { pause } from '@strangler/platform/backoff.ts';
import type { CacheInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { everythingScope, type Scope } from '@strangler/platform/cache/scope.ts';
import {
  type AppliedMessage,
  AppliedMessageError,
  appliedExchange,
  appliedPattern,
  parseAppliedMessage,
} from '@strangler/platform/contracts/applied-message.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { type Consumer, consume } from '@strangler/platform/outbox/consumer.ts';
import { declareTopology } from '@strangler/platform/outbox/declare.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import type { TopologySpec } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import { Gauge, Histogram, type Registry } from 'prom-client';
import { scopesOfApplied } from './applied-changes.ts';

export type ChangeListener = {
  /** Takes no more announcements; what was not finished is left to others. */
  stop(graceMs: number): Promise<void>;
};

export type ChangeListenerOptions = {
  rabbit: RabbitConnection;
  /** The one that relays publish to; appliers announce on one beside it. */
  exchange: string;
  /** Shared by all instances, as Redis is. */
  queue: string;
  db: Executor;
  invalidation: Pick<CacheInvalidation, 'changed' | 'owing'>;
  log: Log;
  registry: Registry;
};

/** Announcements handled by one change of generations. */
const MOST_AT_ONCE = 50;

const RETRY_MS = 50;

export function listenerTopology(exchange: string, queue: string): TopologySpec {
  return {
    exchange: appliedExchange(exchange),
    consumers: [
      {
        name: queue,
        patterns: [appliedPattern('catalog')],
        order: 'none',
        // While no instance listens nothing new is cached; what was cached before has run out long before this many wait.
        maxLength: 100_000,
        whenFull: 'drop oldest',
      },
    ],
  };
}

/**
 * Tells the cache of what the pipe has written into the catalogue's database, from whenever RabbitMQ is there. An
 * announcement is acknowledged when Redis has been told, and comes to another instance when this one dies before.
 */
export function listenForChanges(options: ChangeListenerOptions): ChangeListener {
  const { rabbit, queue, db, invalidation, log, registry } = options;
  const topology = listenerTopology(options.exchange, queue);
  const stopping = new AbortController();
  let consumer: Consumer | undefined;

  const age = new Histogram({
    name: 'catalog_cache_change_age_seconds',
    help: 'How old changes are when the cache is told: since they were written in the shop, since they were applied here.',
    labelNames: ['since'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60],
    registers: [registry],
  });
  new Gauge({
    name: 'catalog_cache_listening',
    help: '1 while changes that the pipe makes are listened for.',
    registers: [registry],
    collect() {
      this.set(consumer?.consuming() ? 1 : 0);
    },
  });

  const scopesOf = async (messages: readonly AppliedMessage[]): Promise<readonly Scope[]> => {
    try {
      return await scopesOfApplied(db, messages);
    } catch (error) {
      log.warn({ err: error }, 'what a change touches could not be looked up; the whole cache is given up');
      return [everythingScope];
    }
  };

  const handle = async (batch: readonly Delivery[]): Promise<Outcome[]> => {
    const read = batch.map(readDelivery);
    const messages = read.flatMap((one) => (one.message === undefined ? [] : [one.message]));
    const unread = messages.length < batch.length;
    await invalidation.changed(unread ? [everythingScope] : await scopesOf(messages));
    while (invalidation.owing()) {
      if ((await pause(RETRY_MS, stopping.signal)) === 'aborted') return read.map(() => 'retry');
    }
    const now = Date.now();
    for (const { appliedAt, changes } of messages) {
      // Of a copy nobody knows how old its rows are.
      if (changes.length === 0) continue;
      const writtenAt = Math.min(...changes.map(({ at }) => Date.parse(at)));
      for (const [since, at] of [
        ['applied', Date.parse(appliedAt)],
        ['written', writtenAt],
      ] as const) {
        age.observe({ since }, Math.max(0, (now - at) / 1000));
      }
    }
    return read.map(({ outcome }) => outcome);
  };

  const forget = rabbit.onConnected(async (source) => {
    await declareTopology(source, topology);
    if (stopping.signal.aborted) return;
    consumer ??= consume({
      rabbit,
      exchange: topology.exchange,
      consumer: { name: queue, order: 'none' },
      handle,
      maxBatch: MOST_AT_ONCE,
      log,
      metrics: registry,
    });
  });

  return {
    async stop(graceMs) {
      stopping.abort();
      forget();
      await consumer?.stop(graceMs);
    },
  };
}

function readDelivery({ body, messageId, queue }: Delivery): { message?: AppliedMessage; outcome: Outcome } {
  try {
    return { message: parseAppliedMessage(body.toString('utf8'), `${queue} ${messageId}`), outcome: 'done' };
  } catch (error) {
    if (!(error instanceof AppliedMessageError)) throw error;
    return { outcome: { outcome: 'poison', reason: error.message } };
  }
}
