import { pause } from '@strangler/platform/backoff.ts';
import type { CacheInvalidation } from '@strangler/platform/cache/invalidation.ts';
import { appliedExchange } from '@strangler/platform/contracts/applied-message.ts';
import type { Log } from '@strangler/platform/log.ts';
import { type Consumer, consume } from '@strangler/platform/outbox/consumer.ts';
import { declareTopology } from '@strangler/platform/outbox/declare.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import type { TopologySpec } from '@strangler/platform/outbox/topology.ts';
import type { ChannelSource, RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import { type ChangeName, scopeOfMessage } from './changes.ts';
import { createChangeMetrics } from './metrics.ts';

export type ChangeListener = {
  /** From now on these are listened for too. */
  listenFor(names: readonly ChangeName[]): void;
  stop(graceMs: number): Promise<void>;
};

export type ChangeListenerOptions = {
  rabbit: RabbitConnection;
  /** The one that relays publish to; appliers announce on one beside it. */
  exchange: string;
  /** Shared by all proxies that share the Redis. */
  queue: string;
  invalidation: Pick<CacheInvalidation, 'changed' | 'owing'>;
  log: Log;
  registry: Registry;
};

/** Messages handled by one change of generations. */
const mostAtOnce = 50;
const retryMs = 50;

/**
 * Tells the cache of what was written on one side, and again of what has come to the other. What either side answered before is
 * no longer believed then; which side is not asked, since one change too many only costs a question.
 */
export function listenForChanges(options: ChangeListenerOptions): ChangeListener {
  const { rabbit, exchange, queue, invalidation, log, registry } = options;
  const named = new Set<ChangeName>();
  const stopping = new AbortController();
  const consumers: Consumer[] = [];
  const told = createChangeMetrics(
    registry,
    () => consumers.length > 0 && consumers.every((consumer) => consumer.consuming()),
  );

  const sources = () =>
    [
      { exchange, queue, patternOf: (name: ChangeName) => `${name}.*` },
      { exchange: appliedExchange(exchange), queue: `${queue}.applied`, patternOf: (name: ChangeName) => name },
    ] as const;

  const topologies = (): TopologySpec[] =>
    sources().map((source) => ({
      exchange: source.exchange,
      consumers: [
        {
          name: source.queue,
          patterns: [...named].map(source.patternOf),
          order: 'none' as const,
          // What was kept while nobody listened has mostly run out before this many wait.
          maxLength: 100_000,
          whenFull: 'drop oldest' as const,
        },
      ],
    }));

  const handle = async (batch: readonly Delivery[]): Promise<Outcome[]> => {
    const scopes = new Set(batch.flatMap(({ routingKey }) => scopeOfMessage(routingKey, named) ?? []));
    for (const scope of scopes) told.changed(scope.slice(scope.indexOf(':') + 1));
    await invalidation.changed([...scopes]);
    while (invalidation.owing()) {
      if ((await pause(retryMs, stopping.signal)) === 'aborted') return batch.map(() => 'retry');
    }
    return batch.map(() => 'done');
  };

  const declare = async (source: ChannelSource): Promise<void> => {
    if (named.size === 0 || stopping.signal.aborted) return;
    for (const topology of topologies()) await declareTopology(source, topology);
    if (consumers.length > 0 || stopping.signal.aborted) return;
    for (const { exchange: from, queue: name } of sources()) {
      consumers.push(
        consume({
          ...{ rabbit, exchange: from, consumer: { name, order: 'none' as const }, handle, maxBatch: mostAtOnce, log },
        }),
      );
    }
  };
  let forget = rabbit.onConnected(declare);

  return {
    listenFor(names) {
      const before = named.size;
      for (const name of names) named.add(name);
      if (named.size === before) return;
      forget();
      // Once more, with the new ones: at once where there is a connection.
      forget = rabbit.onConnected(declare);
    },
    async stop(graceMs) {
      stopping.abort();
      forget();
      await Promise.all(consumers.map((consumer) => consumer.stop(graceMs)));
    },
  };
}
