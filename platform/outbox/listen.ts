import type { Registry } from 'prom-client';
import type { Log } from '../log.ts';
import type { RabbitConnection } from '../rabbit.ts';
import { type Consumer, consume, oneByOne } from './consumer.ts';
import { declareTopology } from './declare.ts';
import type { Delivery, Outcome } from './delivery.ts';
import type { ConsumerSpec } from './topology.ts';

export type Listener = {
  /** Whether messages are taken at the moment. */
  consuming(): boolean;
  /** Takes no more messages; what was not finished within `graceMs` is left to others. */
  stop(graceMs: number): Promise<void>;
};

/**
 * Declares a consumer's queues whenever RabbitMQ is there, and hands its messages one by one to `handle`, from the first time that it
 * is there until stopped.
 */
export function listen({
  rabbit,
  exchange,
  consumer,
  handle,
  concurrency = 1,
  prefetch,
  log,
  metrics,
}: {
  rabbit: RabbitConnection;
  /** The one that relays publish to. */
  exchange: string;
  consumer: ConsumerSpec;
  handle: (delivery: Delivery) => Promise<Outcome>;
  /** Messages of a queue in hand at a time; 1 unless told. */
  concurrency?: number;
  /** Messages that the broker hands out ahead; as `consume` has it unless told. */
  prefetch?: number;
  log: Log;
  metrics: Registry;
}): Listener {
  let stopping = false;
  let consuming: Consumer | undefined;
  const forget = rabbit.onConnected(async (source) => {
    await declareTopology(source, { exchange, consumers: [consumer] });
    if (stopping) return;
    consuming ??= consume({
      ...{ rabbit, exchange, consumer, handle: oneByOne(handle), concurrency, log, metrics },
      ...(prefetch === undefined ? {} : { prefetch }),
    });
  });
  return {
    consuming: () => consuming?.consuming() ?? false,
    async stop(graceMs) {
      stopping = true;
      forget();
      await consuming?.stop(graceMs);
    },
  };
}
