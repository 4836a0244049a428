import type { ConfirmChannel, GetMessage } from 'amqplib';
import { pause } from '../backoff.ts';
import type { RabbitConnection } from '../rabbit.ts';
import { publishConfirmed } from './channel.ts';
import { consumerHeaders, historyOf, keptProperties, replayHeaders, type Try, text } from './delivery.ts';
import { names } from './topology.ts';

/** A message that was given up. */
export type DeadLetter = {
  messageId: string;
  routingKey: string;
  /** Where it was being consumed, and where it goes when replayed. */
  queue: string;
  /** As the handler told it, or as the broker does: `delivery_limit`. */
  reason: string;
  /** When it was given up, ISO 8601. */
  at: string | undefined;
  history: Try[];
  headers: Record<string, unknown>;
  body: string;
};

/** Which of them: these message ids, or all. */
export type Which = { messageIds: readonly string[] } | 'all';

export type DeadLetters = {
  count(consumer: string): Promise<number>;
  /** The oldest `limit`, oldest first. */
  list(consumer: string, limit: number): Promise<DeadLetter[]>;
  show(consumer: string, messageId: string): Promise<DeadLetter | undefined>;
  /** Puts them back into the queues they came from, oldest first, as if they were new; returns how many. */
  replay(consumer: string, which: Which): Promise<number>;
  /** Removes them for good; returns how many. */
  drop(consumer: string, which: Which): Promise<number>;
};

/** Looks at no more than these at once. */
export const mostDeadLetters = 100_000;

/** What a person does with messages that were given up. While one of these runs, another sees only the rest. */
export function createDeadLetters(rabbit: Pick<RabbitConnection, 'confirmChannel'>): DeadLetters {
  /** Visits them, oldest first; what `visit` does not remove is put back in its place. */
  async function scan(
    consumer: string,
    visit: (letter: DeadLetter, message: GetMessage, channel: ConfirmChannel) => Promise<'keep' | 'remove' | 'end'>,
  ): Promise<void> {
    const channel = await rabbit.confirmChannel();
    const queue = names.deadLetterQueue(consumer);
    let kept = 0;
    try {
      const { messageCount } = await channel.checkQueue(queue);
      for (let n = 0; n < Math.min(messageCount, mostDeadLetters); n += 1) {
        const message = await channel.get(queue, { noAck: false });
        if (message === false) return;
        kept += 1;
        const next = await visit(letterOf(message, consumer), message, channel);
        if (next === 'remove') {
          channel.ack(message);
          kept -= 1;
        }
        if (next === 'end') return;
      }
    } finally {
      await putBack(channel, queue, kept).catch(() => {});
      await channel.close().catch(() => {});
    }
  }

  /** Whoever looks next must find them in their places: waits until they are. */
  async function putBack(channel: ConfirmChannel, queue: string, kept: number): Promise<void> {
    if (kept === 0) return;
    channel.nackAll(true);
    for (let n = 0; n < 50; n += 1) {
      if ((await channel.checkQueue(queue)).messageCount >= kept) return;
      await pause(20);
    }
  }

  async function remove(
    consumer: string,
    which: Which,
    before: (letter: DeadLetter, message: GetMessage, channel: ConfirmChannel) => Promise<void>,
  ): Promise<number> {
    const wanted = which === 'all' ? undefined : new Set(which.messageIds);
    let removed = 0;
    await scan(consumer, async (letter, message, channel) => {
      if (wanted !== undefined && !wanted.has(letter.messageId)) return 'keep';
      await before(letter, message, channel);
      removed += 1;
      return 'remove';
    });
    return removed;
  }

  return {
    async count(consumer) {
      const channel = await rabbit.confirmChannel();
      try {
        return (await channel.checkQueue(names.deadLetterQueue(consumer))).messageCount;
      } finally {
        await channel.close().catch(() => {});
      }
    },
    async list(consumer, limit) {
      const letters: DeadLetter[] = [];
      if (limit < 1) return letters;
      await scan(consumer, async (letter) => {
        letters.push(letter);
        return letters.length < limit ? 'keep' : 'end';
      });
      return letters;
    },
    async show(consumer, messageId) {
      let found: DeadLetter | undefined;
      await scan(consumer, async (letter) => {
        if (letter.messageId !== messageId) return 'keep';
        found = letter;
        return 'end';
      });
      return found;
    },
    replay: (consumer, which) =>
      remove(consumer, which, ({ queue, routingKey }, message, channel) =>
        publishConfirmed(channel, {
          exchange: '',
          routingKey: queue,
          body: message.content,
          properties: {
            ...keptProperties(message.properties),
            headers: replayHeaders(message.properties.headers ?? {}, routingKey),
          },
        }),
      ),
    drop: (consumer, which) => remove(consumer, which, async () => {}),
  };
}

type Death = { queue?: unknown; reason?: unknown; time?: unknown; 'routing-keys'?: unknown };

function letterOf(message: GetMessage, consumer: string): DeadLetter {
  const headers: Record<string, unknown> = message.properties.headers ?? {};
  // Of what the broker did, newest first; a retry queue's time being over is no reason.
  const deaths = Array.isArray(headers['x-death']) ? (headers['x-death'] as Death[]) : [];
  const death = deaths.find(({ reason }) => reason !== 'expired');
  const published = Array.isArray(death?.['routing-keys']) ? text(death['routing-keys'][0]) : undefined;
  return {
    messageId: String(message.properties.messageId ?? ''),
    routingKey: text(headers[consumerHeaders.routingKey]) ?? published ?? message.fields.routingKey,
    queue: text(headers[consumerHeaders.queue]) ?? text(death?.queue) ?? names.queue(consumer),
    reason: text(headers[consumerHeaders.reason]) ?? text(death?.reason) ?? 'unknown',
    at: text(headers[consumerHeaders.deadAt]) ?? deathTime(death?.time),
    history: historyOf(headers),
    headers,
    body: message.content.toString(),
  };
}

/** amqplib gives times of tables as `{ '!': 'timestamp', value: seconds }`. */
function deathTime(time: unknown): string | undefined {
  const seconds = (time as { value?: unknown } | undefined)?.value;
  return typeof seconds === 'number' ? new Date(seconds * 1000).toISOString() : undefined;
}
