import { pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import { readStream, type StreamStart } from '@strangler/platform/outbox/stream.ts';
import { names } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { HandleEvent } from './event-consumer.ts';
import { eventPatterns, readShopEvent, ShopEventError } from './shop-event.ts';

export type Replayed = {
  /** Had no effect before. */
  handled: number;
  handledBefore: number;
  /** Could not be read, and were passed over; each is in the log. */
  unreadable: number;
};

const lookEveryMs = 100;

/**
 * Handles the events that the stream of the outbox has kept, oldest first, as if they came now: for a consumer that is added
 * later than they were told. What was handled before has no effect again. Ends when nothing more has come for `idleMs`.
 */
export async function replayEvents({
  rabbit,
  outboxExchange,
  from,
  handle,
  idleMs,
  log,
  signal,
}: {
  rabbit: RabbitConnection;
  outboxExchange: string;
  from: StreamStart;
  handle: HandleEvent;
  idleMs: number;
  log: Log;
  signal?: AbortSignal;
}): Promise<Replayed> {
  const counts: Replayed = { handled: 0, handledBefore: 0, unreadable: 0 };
  let lastMs = performance.now();
  const reader = readStream({
    rabbit,
    queue: names.stream(outboxExchange),
    from,
    log,
    async handle({ routingKey, body, headers, offset }) {
      lastMs = performance.now();
      if (!isListenedTo(routingKey)) return;
      try {
        const outcome = await handle(readShopEvent({ body, headers }));
        counts[outcome === 'handled' ? 'handled' : 'handledBefore'] += 1;
      } catch (error) {
        // What the database cannot now is tried again; what cannot be read never can.
        if (!(error instanceof ShopEventError)) throw error;
        counts.unreadable += 1;
        log.error({ err: error, offset, routingKey }, 'an event of the stream cannot be read');
      }
      lastMs = performance.now();
    },
  });
  try {
    while (performance.now() - lastMs < idleMs) {
      if ((await pause(lookEveryMs, signal)) === 'aborted') break;
    }
  } finally {
    await reader.stop();
  }
  return counts;
}

/** Whether a routing key is of one of the patterns: three words, of which the second is named. */
export function isListenedTo(routingKey: string): boolean {
  const words = routingKey.split('.');
  return eventPatterns.some((pattern) => {
    const wanted = pattern.split('.');
    return words.length === wanted.length && wanted.every((word, at) => word === '*' || word === words[at]);
  });
}
