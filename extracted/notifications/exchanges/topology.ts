import {
  type Arguments,
  type BindingSpec,
  type Declaration,
  names,
  retryDelaysMs,
  type TopologySpec,
} from '@strangler/platform/outbox/topology.ts';
import { eventPatterns } from '../events/shop-event.ts';
import { type JobKind, jobKinds } from '../jobs/job.ts';
import { type Locale, locales } from '../recipients/recipients.ts';

/** Commands that are wanted now overtake those that stand in line: 9 is taken first. */
export const commandPriorities = { byHand: 9, bySchedule: 1 } as const;
const highestPriority = 9;

/** How long a message of a paused channel rests before it is looked at again, unless told. */
export const usualRestMs = 5_000;

const mostWaiting = 1_000_000;

/** Exchanges and queues of the service's own, all beginning with one word. */
export const own = {
  /** Fan-out: every instance hears that a setting has changed. */
  settings: (prefix: string) => `${prefix}.settings`,
  /** Direct: a command to one worker of a kind. */
  commands: (prefix: string) => `${prefix}.commands`,
  /** Headers: what is to be done, by `channel` and `locale`. */
  deliveries: (prefix: string) => `${prefix}.deliveries`,
  commandQueue: (prefix: string, kind: JobKind) => `${prefix}.commands.${kind}`,
  deliveryQueue: (prefix: string, channel: JobKind, locale: Locale) => `${prefix}.deliveries.${channel}.${locale}`,
  /** Where deliveries of a paused channel rest. */
  restQueue: (prefix: string) => `${prefix}.deliveries.rest`,
};

/** What takes the shop's events: topic by pattern, one queue a part, so that the events of one order keep their order. */
export function eventTopology(outboxExchange: string, prefix: string): TopologySpec {
  return { exchange: outboxExchange, consumers: [{ name: prefix, patterns: [...eventPatterns], order: 'by key' }] };
}

/** Everything else, in the order in which it is to be declared. */
export function ownTopology(prefix: string, restMs: number = usualRestMs): Declaration[] {
  const dead = names.deadLetterExchange(prefix);
  return [
    { kind: 'exchange', name: dead, type: 'direct' },
    { kind: 'exchange', name: own.settings(prefix), type: 'fanout' },
    { kind: 'exchange', name: own.commands(prefix), type: 'direct' },
    { kind: 'exchange', name: own.deliveries(prefix), type: 'headers' },
    ...jobKinds.flatMap((kind) => {
      const queue = own.commandQueue(prefix, kind);
      // Quorum queues know no priorities before RabbitMQ 4; commands are few, and each can be given again.
      const args = { 'x-queue-type': 'classic', 'x-max-priority': highestPriority, 'x-max-length': mostWaiting };
      return [
        ...workQueue(prefix, queue, { ...args, 'x-overflow': 'reject-publish' }),
        bind(queue, own.commands(prefix), kind),
      ];
    }),
    ...jobKinds.flatMap((channel) =>
      locales.flatMap((locale) => {
        const queue = own.deliveryQueue(prefix, channel, locale);
        return [
          ...workQueue(prefix, queue, {
            'x-queue-type': 'quorum',
            'x-delivery-limit': 20,
            'x-max-length': mostWaiting,
            'x-dead-letter-exchange': dead,
            'x-dead-letter-routing-key': queue,
            'x-dead-letter-strategy': 'at-least-once',
            'x-overflow': 'reject-publish',
          }),
          bind(queue, own.deliveries(prefix), '', { 'x-match': 'all', channel, locale }),
        ];
      }),
    ),
    // A message that has rested goes through the headers exchange again, by the headers that it came with.
    quorum(own.restQueue(prefix), {
      'x-message-ttl': restMs,
      'x-max-length': mostWaiting,
      'x-dead-letter-exchange': own.deliveries(prefix),
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    }),
  ];
}

/** A queue with what its consumer needs beside it: waits between tries, and dead letters. */
function workQueue(prefix: string, name: string, args: Arguments): Declaration[] {
  return [
    quorum(names.deadLetterQueue(name), {
      'x-delivery-limit': 1_000_000_000,
      'x-max-length': mostWaiting,
      'x-overflow': 'reject-publish',
    }),
    bind(names.deadLetterQueue(name), names.deadLetterExchange(prefix), name),
    { kind: 'queue', name, arguments: args },
    ...retryDelaysMs.map((delayMs) =>
      quorum(names.retryQueue(name, delayMs), {
        'x-message-ttl': delayMs,
        'x-max-length': mostWaiting,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': name,
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      }),
    ),
  ];
}

function quorum(name: string, args: Arguments): Declaration {
  return { kind: 'queue', name, arguments: { 'x-queue-type': 'quorum', ...args } };
}

function bind(queue: string, source: string, pattern: string, args: Arguments = {}): BindingSpec {
  return { kind: 'binding', to: 'queue', destination: queue, source, pattern, arguments: args };
}
