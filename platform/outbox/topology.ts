import type { DelayLadder } from './delays.ts';
import { partCount, partName } from './part.ts';

/** What a queue does when it is as long as it may be, and how often it gives out one message, unless told. */
export const defaultQueueBounds = { maxLength: 1_000_000, deliveryLimit: 20 } as const;
export const defaultStreamBounds = { maxAge: '7D', maxBytes: 5_000_000_000 } as const;

/** Waits before the further tries of a message. */
export const retryDelaysMs = [1_000, 2_000, 4_000] as const;

/** Everybody who takes messages of the outbox. Names begin every queue's name. */
export type ConsumerSpec = {
  /** Letters, digits, `.`, `_` and `-`; names its queues. */
  name: string;
  /** Of routing keys `<slice>.<table or aggregate>.<op>`, such as `catalog.#`. */
  patterns: readonly string[];
  /**
   * `by key`: one queue a part, each consumed by one process at a time, in which messages of one key keep their order.
   * `none`: one queue, consumed by as many as there are.
   */
  order: 'by key' | 'none';
  /** How long a queue may be, 1 000 000 messages unless told. */
  maxLength?: number;
  /**
   * `refuse`, unless told: whoever publishes keeps what it has, for everybody, until there is room. `drop oldest`: for
   * messages that are worth nothing when they are old; what dies in such a queue is dropped too.
   */
  whenFull?: 'refuse' | 'drop oldest';
  /** Given: queues in which its handler leaves messages for later, one a wait. Only without order. */
  delaysMs?: DelayLadder;
  /** A message that has been given out so often without an answer (its consumer died) is dead-lettered. */
  deliveryLimit?: number;
};

export type TopologySpec = {
  /** The topic exchange that relays publish to; also the first word of the names of what belongs to it. */
  exchange: string;
  consumers: readonly ConsumerSpec[];
  /** Keeps all messages for replay, bounded by both; unset bounds are `defaultStreamBounds`. */
  stream?: { maxAge?: string; maxBytes?: number };
};

export type Arguments = Record<string, string | number | boolean>;
export type ExchangeSpec = { kind: 'exchange'; name: string; type: 'topic' | 'headers' | 'direct' | 'fanout' };
export type QueueSpec = { kind: 'queue'; name: string; arguments: Arguments };
export type BindingSpec = {
  kind: 'binding';
  /** Of a queue or an exchange, which `to` tells. */
  destination: string;
  to: 'queue' | 'exchange';
  source: string;
  pattern: string;
  arguments: Arguments;
};
export type Declaration = ExchangeSpec | QueueSpec | BindingSpec;

/** Names of what belongs to a consumer. */
export const names = {
  stream: (exchange: string) => `${exchange}.stream`,
  deadLetterExchange: (exchange: string) => `${exchange}.dead`,
  partsExchange: (exchange: string, consumer: string) => `${exchange}.${consumer}.parts`,
  queue: (consumer: string) => consumer,
  partQueue: (consumer: string, part: number) => `${consumer}.${partName(part)}`,
  retryQueue: (consumer: string, delayMs: number) => `${consumer}.retry.${delayMs}`,
  delayQueue: (consumer: string, delayMs: number) => `${consumer}.delay.${delayMs}`,
  deadLetterQueue: (consumer: string) => `${consumer}.dead`,
};

/** The queues that a consumer takes messages from. */
export function queuesOf({ name, order }: Pick<ConsumerSpec, 'name' | 'order'>): string[] {
  if (order === 'none') return [names.queue(name)];
  return Array.from({ length: partCount }, (_, part) => names.partQueue(name, part));
}

/** Enough for listing dead letters again and again; from RabbitMQ 4 on a queue without a limit has one of 20 and then drops. */
const deliveriesOfDeadLetters = 1_000_000_000;

/**
 * What must be declared, in this order. Messages get from the topic exchange to a consumer's queue, or by the header
 * `x-strangler-part` to one of its queues a part. What a queue gives up goes to its consumer's dead-letter queue, and is
 * removed only when it is there (at-least-once dead-lettering needs quorum queues that refuse when full).
 */
export function declarations({ exchange, consumers, stream }: TopologySpec): Declaration[] {
  checkNames(exchange, consumers);
  return [
    { kind: 'exchange', name: exchange, type: 'topic' },
    { kind: 'exchange', name: names.deadLetterExchange(exchange), type: 'direct' },
    ...(stream === undefined ? [] : streamDeclarations(exchange, stream)),
    ...consumers.flatMap((consumer) => consumerDeclarations(exchange, consumer)),
  ];
}

/** The part of it that belongs to one consumer. */
export function consumerDeclarations(exchange: string, consumer: ConsumerSpec): Declaration[] {
  return [
    // First: whatever dies while the rest is being declared has somewhere to go.
    quorumQueue(names.deadLetterQueue(consumer.name), {
      'x-delivery-limit': deliveriesOfDeadLetters,
      'x-max-length': consumer.maxLength ?? defaultQueueBounds.maxLength,
      'x-overflow': 'reject-publish',
    }),
    bind('queue', names.deadLetterQueue(consumer.name), names.deadLetterExchange(exchange), consumer.name),
    ...(consumer.order === 'none' ? unordered(exchange, consumer) : ordered(exchange, consumer)),
  ];
}

function streamDeclarations(exchange: string, stream: NonNullable<TopologySpec['stream']>): Declaration[] {
  const { maxAge, maxBytes } = { ...defaultStreamBounds, ...stream };
  const name = names.stream(exchange);
  return [
    {
      kind: 'queue',
      name,
      arguments: { 'x-queue-type': 'stream', 'x-max-age': maxAge, 'x-max-length-bytes': maxBytes },
    },
    bind('queue', name, exchange, '#'),
  ];
}

function unordered(exchange: string, consumer: ConsumerSpec): Declaration[] {
  const queue = names.queue(consumer.name);
  return [
    quorumQueue(queue, workArguments(exchange, consumer)),
    ...retryDelaysMs.map((delayMs) => waitingQueue(names.retryQueue(consumer.name, delayMs), delayMs, consumer)),
    ...(consumer.delaysMs ?? []).map((delayMs) =>
      waitingQueue(names.delayQueue(consumer.name, delayMs), delayMs, consumer),
    ),
    ...consumer.patterns.map((pattern) => bind('queue', queue, exchange, pattern)),
  ];
}

/** Whose messages go to the consumer's queue when their time is over. */
function waitingQueue(name: string, waitMs: number, consumer: ConsumerSpec): QueueSpec {
  return quorumQueue(name, {
    'x-message-ttl': waitMs,
    'x-max-length': consumer.maxLength ?? defaultQueueBounds.maxLength,
    // The default exchange: straight back to the queue.
    ...deadLetterTo('', names.queue(consumer.name)),
  });
}

function ordered(exchange: string, consumer: ConsumerSpec): Declaration[] {
  const parts = names.partsExchange(exchange, consumer.name);
  const queues = queuesOf(consumer);
  return [
    ...queues.map((queue) =>
      quorumQueue(queue, { ...workArguments(exchange, consumer), 'x-single-active-consumer': true }),
    ),
    { kind: 'exchange', name: parts, type: 'headers' },
    ...queues.map((queue, part) =>
      bind('queue', queue, parts, '', { 'x-match': 'all-with-x', 'x-strangler-part': partName(part) }),
    ),
    // Last: from here on messages come, and every part has its queue.
    ...consumer.patterns.map((pattern) => bind('exchange', parts, exchange, pattern)),
  ];
}

function workArguments(exchange: string, consumer: ConsumerSpec): Arguments {
  const dropsOldest = consumer.whenFull === 'drop oldest';
  return {
    'x-delivery-limit': consumer.deliveryLimit ?? defaultQueueBounds.deliveryLimit,
    'x-max-length': consumer.maxLength ?? defaultQueueBounds.maxLength,
    ...(dropsOldest ? { 'x-overflow': 'drop-head' } : deadLetterTo(names.deadLetterExchange(exchange), consumer.name)),
  };
}

function deadLetterTo(exchange: string, routingKey: string): Arguments {
  return {
    'x-dead-letter-exchange': exchange,
    'x-dead-letter-routing-key': routingKey,
    'x-dead-letter-strategy': 'at-least-once',
    'x-overflow': 'reject-publish',
  };
}

function quorumQueue(name: string, more: Arguments): QueueSpec {
  return { kind: 'queue', name, arguments: { 'x-queue-type': 'quorum', ...more } };
}

function bind(
  to: BindingSpec['to'],
  destination: string,
  source: string,
  pattern: string,
  args: Arguments = {},
): BindingSpec {
  return { kind: 'binding', to, destination, source, pattern, arguments: args };
}

function checkNames(exchange: string, consumers: readonly ConsumerSpec[]): void {
  const seen = new Set<string>();
  for (const { name, patterns, order, delaysMs } of consumers) {
    const ok = /^[A-Za-z0-9._-]{1,64}$/.test(name);
    if (!ok) throw new TypeError(`consumer: expected a name of letters, digits, . _ - (1 to 64), found "${name}"`);
    if (seen.has(name)) throw new TypeError(`consumer ${name}: expected each name once, found it twice`);
    if (patterns.length === 0) throw new TypeError(`consumer ${name}: expected a pattern of routing keys, found none`);
    if (delaysMs !== undefined && order === 'by key')
      throw new TypeError(`consumer ${name}: expected delays only without order, found them with order by key`);
    seen.add(name);
  }
  if (exchange === '') throw new TypeError('exchange: expected a name, found an empty one');
}
