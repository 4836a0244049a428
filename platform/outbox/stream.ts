import type { ConfirmChannel, ConsumeMessage } from 'amqplib';
import type { Log } from '../log.ts';
import type { RabbitConnection } from '../rabbit.ts';
import { keepChannel } from './channel.ts';

/**
 * Where a replay begins: at the oldest message that is kept, with what comes next, at an offset, or with the block of
 * messages that holds an instant (so possibly some messages before it).
 */
export type StreamStart = 'first' | 'next' | { offset: number } | { time: Date };

export type StreamMessage = {
  /** Grows by one with every message of the stream. */
  offset: number;
  messageId: string;
  routingKey: string;
  headers: Readonly<Record<string, unknown>>;
  body: Buffer;
};

export type StreamReader = {
  /** Of the last message that was handled. */
  offset(): number | undefined;
  stop(): Promise<void>;
};

/**
 * Hands a stream's messages to `handle`, one after the other, and goes on with new ones as they come. After a lost
 * connection it goes on behind the last message that was handled. What `handle` throws ends the channel, and the message
 * comes again after a pause.
 */
export function readStream({
  rabbit,
  queue,
  from,
  handle,
  prefetch = 200,
  log,
}: {
  rabbit: RabbitConnection;
  queue: string;
  from: StreamStart;
  handle: (message: StreamMessage) => void | Promise<void>;
  prefetch?: number;
  log: Log;
}): StreamReader {
  let last: number | undefined;
  let working: Promise<void> = Promise.resolve();

  async function use(channel: ConfirmChannel): Promise<void> {
    let open = true;
    channel.once('close', () => {
      open = false;
    });
    await working;
    await channel.prefetch(prefetch);
    const start: StreamStart = last === undefined ? from : { offset: last + 1 };
    await channel.consume(
      queue,
      (message) => {
        if (message === null) return void channel.close().catch(() => {});
        working = working.then(() => take(message));
      },
      { arguments: { 'x-stream-offset': offsetArgument(start) } },
    );

    async function take(message: ConsumeMessage): Promise<void> {
      if (!open) return;
      const received = messageOf(message);
      // An offset may be answered with the whole block that it is in.
      const wanted =
        last !== undefined ? received.offset > last : !isObject(from, 'offset') || received.offset >= from.offset;
      try {
        if (wanted) {
          await handle(received);
          last = received.offset;
        }
        if (open) channel.ack(message);
      } catch (error) {
        log.warn({ err: error, queue, offset: received.offset }, 'a message of a stream was not handled; trying again');
        open = false;
        channel.close().catch(() => {});
      }
    }
  }

  const kept = keepChannel({ rabbit, log, use });
  return {
    offset: () => last,
    async stop() {
      await kept.close();
      await working;
    },
  };
}

function messageOf(message: ConsumeMessage): StreamMessage {
  const headers: Record<string, unknown> = message.properties.headers ?? {};
  return {
    offset: Number(headers['x-stream-offset'] ?? -1),
    messageId: String(message.properties.messageId ?? ''),
    routingKey: message.fields.routingKey,
    headers,
    body: message.content,
  };
}

function offsetArgument(start: StreamStart): unknown {
  if (start === 'first' || start === 'next') return start;
  if ('offset' in start) return start.offset;
  return { '!': 'timestamp', value: Math.floor(start.time.getTime() / 1000) };
}

function isObject<K extends string>(start: StreamStart, key: K): start is Extract<StreamStart, Record<K, unknown>> {
  return typeof start === 'object' && key in start;
}
