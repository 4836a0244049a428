import { type ConfirmChannel, type ConsumeMessage, IllegalOperationError } from 'amqplib';
import { Counter, Gauge, type Registry } from 'prom-client';
import { pause } from '../backoff.ts';
import { runInRequest } from '../http/request-context.ts';
import type { Log } from '../log.ts';
import type { RabbitConnection } from '../rabbit.ts';
import { contextOfDelivery, failureOf, spanOfDelivery } from '../tracing/messages.ts';
import { keepChannel, publishConfirmed } from './channel.ts';
import { delayFor } from './delays.ts';
import {
  type Delivery,
  deadHeaders,
  deliveryOf,
  keptProperties,
  laterHeaders,
  type Outcome,
  retryHeaders,
  withTry,
} from './delivery.ts';
import { createLanes } from './lanes.ts';
import { type ConsumerSpec, names, queuesOf, retryDelaysMs } from './topology.ts';

export type ConsumerOptions = {
  rabbit: RabbitConnection;
  exchange: string;
  /** As declared, where messages are left for later with its `delaysMs`. */
  consumer: Pick<ConsumerSpec, 'name' | 'order' | 'delaysMs'>;
  /**
   * Handles a batch, several messages of one key in order, and says of each what became of it. What it throws is a
   * `retry` of all. It may be called again with a message that was done: a lost connection, a crash.
   */
  handle(batch: readonly Delivery[]): Promise<readonly Outcome[]>;
  /** Messages of a batch at most; 1 unless told. */
  maxBatch?: number;
  /** Batches in hand at a time, of a queue; 1 unless told. */
  concurrency?: number;
  /** Messages that the broker hands out ahead, of a queue; 100 unless told. */
  prefetch?: number;
  /** Waits before the further tries; the topology's retry queues have the same. */
  retryDelaysMs?: readonly number[];
  log: Log;
  metrics?: Registry;
};

export type Consumer = {
  /** Whether it takes messages at the moment. */
  consuming(): boolean;
  /** Takes nothing more, waits for what is in hand `graceMs` at most, and leaves the rest to others. */
  stop(graceMs: number): Promise<void>;
};

/** Wraps a handler of one message. */
export function oneByOne(
  handle: (delivery: Delivery) => Promise<Outcome>,
): (batch: readonly Delivery[]) => Promise<Outcome[]> {
  return async (batch) => {
    const outcomes: Outcome[] = [];
    for (const delivery of batch) {
      const context = contextOfDelivery(delivery);
      const span = spanOfDelivery(context, delivery);
      try {
        const outcome = await runInRequest(context, () => handle(delivery));
        span?.end(failureOf(outcome));
        outcomes.push(outcome);
      } catch (error) {
        span?.end('retry');
        throw error;
      }
    }
    return outcomes;
  };
}

type Item = { message: ConsumeMessage; delivery: Delivery };

type Told = { kind: 'later'; delayMs: number } | { kind: 'retry' | 'poison'; reason: string };

/** What is to be done with a message that is not done. One left for later where no queue is for that would be lost. */
function toldOutcome(outcome: Exclude<Outcome, 'done'>, { name, delaysMs }: ConsumerOptions['consumer']): Told {
  if (typeof outcome === 'string') return { kind: outcome, reason: `the handler said ${outcome}` };
  if (outcome.outcome !== 'later') return { kind: outcome.outcome, reason: outcome.reason };
  if (delaysMs !== undefined) return { kind: 'later', delayMs: delayFor(outcome.afterMs, delaysMs) };
  return { kind: 'poison', reason: `it was left for later, and consumer ${name} has no delays` };
}

/**
 * Consumes a consumer's queues, with manual acknowledgement, from now until stopped, over whatever connections there are.
 *
 * A message to be tried again, without order: a copy goes to a retry queue, whose time brings it back, and the original
 * is acknowledged. With order by key: it stays where it is, unacknowledged, and its key is parked in this process for
 * the same times, because a message that leaves the queue would be overtaken by later ones of its key; messages of
 * other keys go on as long as the prefetch lasts. After the last try, or at once when it is `poison`, a copy goes to the
 * dead letters and the original is acknowledged; later messages of its key then go on without it.
 *
 * A message left for `later` goes the way of a retry, through a queue whose wait does not take it beyond its time, and is
 * handed out again with the attempt that it had.
 */
export function consume(options: ConsumerOptions): Consumer {
  const { rabbit, exchange, consumer, handle, log } = options;
  const { maxBatch = 1, concurrency = 1, prefetch = 100 } = options;
  const delays = options.retryDelaysMs ?? retryDelaysMs;
  const count = createConsumerMetrics(options.metrics, consumer.name);
  const stopping = new AbortController();
  const inHand = new Set<Promise<void>>();
  let tags: string[] = [];
  let current: ConfirmChannel | undefined;

  async function use(channel: ConfirmChannel): Promise<void> {
    // What was begun on the channel before may still be under way: its messages come again and must not meet it.
    await Promise.all(inHand);
    if (stopping.signal.aborted) return;
    const ended = new AbortController();
    channel.once('close', () => {
      ended.abort();
      if (current === channel) current = undefined;
    });
    current = channel;
    tags = [];
    await channel.prefetch(prefetch);
    for (const queue of queuesOf(consumer)) {
      const take = startQueue(channel, queue, ended.signal);
      const { consumerTag } = await channel.consume(queue, (message) => {
        if (message !== null) return take(message);
        log.warn({ queue }, 'the broker has ended a consumer; beginning anew');
        channel.close().catch(() => {});
      });
      tags.push(consumerTag);
    }
  }

  /** Returns what takes the queue's messages. */
  function startQueue(channel: ConfirmChannel, queue: string, ended: AbortSignal): (message: ConsumeMessage) => void {
    const lanes = createLanes<Item>();
    let batches = 0;
    let sequence = 0;

    const keyOf = ({ subject, key }: Delivery): string => {
      sequence += 1;
      // Without order every message is a key of its own.
      return consumer.order === 'by key' && key !== '' ? `${subject}\0${key}` : `${sequence}`;
    };

    function begin(): void {
      while (batches < concurrency && !ended.aborted && !stopping.signal.aborted) {
        const batch = lanes.take(maxBatch);
        if (batch.length === 0) return;
        batches += 1;
        const done = runBatch(batch).finally(() => {
          batches -= 1;
          inHand.delete(done);
          begin();
        });
        inHand.add(done);
      }
    }

    async function runBatch(batch: readonly { key: string; items: Item[] }[]): Promise<void> {
      const items = batch.flatMap((each) => each.items);
      const outcomes = await outcomesOf(items.map(({ delivery }) => delivery));
      const byItem = new Map(items.map((item, at) => [item, outcomes[at] ?? 'retry']));
      await Promise.all(
        batch.map(async ({ key, items: own }) => {
          const left = await settleKey(own, byItem);
          if (left.length === 0) return lanes.release(key);
          count.parked(1);
          const attempt = left[0]?.delivery.attempt ?? 1;
          void pause(delays[Math.max(0, attempt - 2)] ?? delays.at(-1) ?? 1000, ended).then(() => {
            count.parked(-1);
            lanes.release(key, left);
            begin();
          });
        }),
      );
    }

    /** Deals with a key's messages in order; returns those that must wait: the first that is to be tried again, and all after it. */
    async function settleKey(own: Item[], outcomes: ReadonlyMap<Item, Outcome>): Promise<Item[]> {
      for (const [at, item] of own.entries()) {
        const outcome = outcomes.get(item) ?? 'retry';
        if (outcome === 'done') {
          acknowledge(item);
          count.handled('done');
          tellDebug(item.delivery, 'done');
          continue;
        }
        const told = toldOutcome(outcome, consumer);
        if (told.kind === 'later') {
          const headers = laterHeaders(item.delivery);
          if (!(await putBy(item, '', names.delayQueue(consumer.name, told.delayMs), headers))) return own.slice(at);
          count.handled('later');
          tellDebug(item.delivery, 'later');
          continue;
        }
        const { kind, reason } = told;
        // Whoever takes it next tries it: that this one stops is no failed try.
        if (kind === 'retry' && stopping.signal.aborted) return own.slice(at);
        const tried = withTry(item.delivery, kind, reason, new Date());
        const handled = item.delivery;
        item.delivery = tried;
        if (kind === 'poison' || tried.attempt > delays.length) {
          const headers = deadHeaders(tried, reason, new Date());
          if (!(await putBy(item, names.deadLetterExchange(exchange), consumer.name, headers))) return own.slice(at);
          const { messageId, routingKey } = tried;
          runInRequest(contextOfDelivery(handled), () =>
            log.error({ queue, messageId, routingKey, reason }, 'a message was dead-lettered'),
          );
          count.handled('dead-lettered');
          continue;
        }
        count.handled('retry');
        tellDebug(handled, 'retry', reason);
        if (consumer.order === 'by key') {
          item.delivery = { ...tried, attempt: tried.attempt + 1 };
          return own.slice(at);
        }
        const delayMs = delays[Math.max(0, tried.attempt - 1)] ?? 1000;
        if (!(await putBy(item, '', names.retryQueue(consumer.name, delayMs), retryHeaders(tried))))
          return own.slice(at);
      }
      return [];
    }

    /**
     * Puts a copy elsewhere and acknowledges the original: a crash in between leaves the message twice, never not at all.
     * False when the copy could not be put there.
     */
    async function putBy(item: Item, to: string, routingKey: string, headers: Record<string, unknown>) {
      const { message, delivery } = item;
      const properties = { ...keptProperties(message.properties), headers };
      try {
        await publishConfirmed(channel, { exchange: to, routingKey, body: delivery.body, properties });
      } catch (error) {
        if (!ended.aborted) log.warn({ err: error, queue }, 'a message could not be put by; it stays where it is');
        return false;
      }
      acknowledge(item);
      return true;
    }

    function tellDebug(delivery: Delivery, outcome: string, reason?: string): void {
      if (!log.isLevelEnabled('debug')) return;
      const { messageId, routingKey, attempt } = delivery;
      const line = { queue, messageId, routingKey, attempt, outcome, ...(reason === undefined ? {} : { reason }) };
      runInRequest(contextOfDelivery(delivery), () => log.debug(line, 'message'));
    }

    /** On a channel that has ended, or is being closed, it is in vain, and the message comes again. */
    function acknowledge({ message }: Item): void {
      if (ended.aborted) return;
      try {
        channel.ack(message);
      } catch (error) {
        // From the moment in which it is asked to close it takes nothing; `close` comes with the broker's answer.
        if (!(error instanceof IllegalOperationError)) throw error;
      }
    }

    return (message) => {
      const delivery = deliveryOf(message, queue);
      lanes.add(keyOf(delivery), { message, delivery });
      begin();
    };
  }

  async function outcomesOf(batch: readonly Delivery[]): Promise<readonly Outcome[]> {
    try {
      return await handle(batch);
    } catch (error) {
      const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
      log.warn({ err: error, messages: batch.length }, 'a handler failed');
      return batch.map(() => ({ outcome: 'retry', reason }));
    }
  }

  const kept = keepChannel({ rabbit, log, use });
  return {
    consuming: () => current !== undefined && tags.length === queuesOf(consumer).length,
    async stop(graceMs) {
      stopping.abort();
      const channel = current;
      if (channel !== undefined) await Promise.allSettled(tags.map((tag) => channel.cancel(tag)));
      const waiting = new AbortController();
      await Promise.race([Promise.all(inHand), pause(graceMs, waiting.signal)]);
      waiting.abort();
      await kept.close();
    },
  };
}

function createConsumerMetrics(registry: Registry | undefined, consumer: string) {
  if (registry === undefined) return { handled: () => {}, parked: () => {} };
  const handled =
    (registry.getSingleMetric('consumer_messages_total') as Counter | undefined) ??
    new Counter({
      name: 'consumer_messages_total',
      help: 'Messages by what became of them.',
      labelNames: ['consumer', 'outcome'],
      registers: [registry],
    });
  const parked =
    (registry.getSingleMetric('consumer_parked_keys') as Gauge | undefined) ??
    new Gauge({
      name: 'consumer_parked_keys',
      help: 'Keys whose messages wait for another try.',
      labelNames: ['consumer'],
      registers: [registry],
    });
  return {
    handled: (outcome: 'done' | 'retry' | 'later' | 'dead-lettered') => handled.inc({ consumer, outcome }),
    parked: (by: number) => parked.inc({ consumer }, by),
  };
}
