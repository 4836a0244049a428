import { type ConfirmChannel, IllegalOperationError, type Message } from 'amqplib';
import type { Log } from '../../log.ts';
import type { RabbitConnection } from '../../rabbit.ts';
import { spanOfSending } from '../../tracing/messages.ts';
import type { OpenSpan } from '../../tracing/span.ts';
import { keepChannel } from '../channel.ts';
import { type OutgoingMessage, weightOf } from '../message.ts';
import type { HeldRow } from './window.ts';

/** No queue takes it; a queue refused it; it cannot be written as a message or is too large for the broker. */
export type Refusal = 'returned' | 'nacked' | 'unsendable';

export type PublisherEvents = {
  onOpen(): void;
  /** The broker has the message in every queue that it goes to. */
  onConfirmed(row: HeldRow): void;
  /** It is in no queue, or not in every one. */
  onRefused(row: HeldRow, why: Refusal): void;
  /** The channel has ended: what was not confirmed may or may not have arrived. */
  onLost(): void;
  /** There is room for more after `send` was not allowed. */
  onRoom(): void;
};

export type Publisher = {
  /** False without a channel, and while messages or bytes that are not confirmed, or the socket's buffer, are at their bounds. */
  hasRoom(): boolean;
  isOpen(): boolean;
  send(row: HeldRow, message: OutgoingMessage): void;
  unconfirmed(): number;
  /** Of the message that waits longest for its confirm; 0 when there is none. */
  oldestUnconfirmedMs(): number;
  close(): Promise<void>;
};

export type PublisherBounds = {
  maxUnconfirmed: number;
  maxUnconfirmedBytes: number;
  /** A larger body would make the broker close the channel, and with it everybody else's. */
  maxMessageBytes: number;
};

/** Publishes to one exchange over one confirm channel after another, confirms pipelined. */
export function createPublisher({
  rabbit,
  exchange,
  bounds,
  events,
  log,
  nowMs = () => performance.now(),
}: {
  rabbit: RabbitConnection;
  exchange: string;
  bounds: PublisherBounds;
  events: PublisherEvents;
  log: Log;
  nowMs?: () => number;
}): Publisher {
  type Sent = { row: HeldRow; sentAtMs: number; returned: boolean; span: OpenSpan | undefined };
  let channel: ConfirmChannel | undefined;
  // By the row's id, in the order of sending.
  let sent = new Map<string, Sent>();
  let bytes = 0;
  let drained = true;

  function settle(on: ConfirmChannel, id: string, entry: Sent, nacked: boolean): void {
    if (on !== channel || !sent.delete(id)) return;
    bytes -= weightOf(entry.row);
    entry.span?.end(nacked ? 'nacked' : entry.returned ? 'returned' : undefined);
    if (nacked) events.onRefused(entry.row, 'nacked');
    else if (entry.returned) events.onRefused(entry.row, 'returned');
    else events.onConfirmed(entry.row);
    events.onRoom();
  }

  function refuseLater(row: HeldRow, found: string): void {
    log.debug({ id: row.id, topic: row.topic, found }, 'an outbox row cannot be sent as a message');
    queueMicrotask(() => events.onRefused(row, 'unsendable'));
  }

  function use(opened: ConfirmChannel): void {
    channel = opened;
    sent = new Map();
    bytes = 0;
    drained = true;
    // The broker tells of a return before it confirms the same message.
    opened.on('return', (message: Message) => {
      const { messageId } = message.properties;
      const entry = sent.get(outboxIdOf(String(messageId)));
      if (entry !== undefined && channel === opened) entry.returned = true;
    });
    opened.on('drain', () => {
      if (channel !== opened) return;
      drained = true;
      events.onRoom();
    });
    opened.once('close', () => {
      if (channel !== opened) return;
      channel = undefined;
      for (const { span } of sent.values()) span?.end('lost');
      sent = new Map();
      bytes = 0;
      events.onLost();
    });
    events.onOpen();
  }

  const kept = keepChannel({ rabbit, log, use });

  return {
    hasRoom: () =>
      channel !== undefined && drained && sent.size < bounds.maxUnconfirmed && bytes < bounds.maxUnconfirmedBytes,
    isOpen: () => channel !== undefined,
    send(row, message) {
      const on = channel;
      if (on === undefined) return;
      const { routingKey, body, properties } = message;
      if (body.length > bounds.maxMessageBytes) return refuseLater(row, `${body.length} bytes`);
      const { id } = row;
      const entry: Sent = { row, sentAtMs: nowMs(), returned: false, span: spanOfSending(message, exchange) };
      sent.set(id, entry);
      bytes += weightOf(row);
      try {
        drained = on.publish(exchange, routingKey, body, properties, (error) => {
          // A channel that ends fails all its confirms first and tells of its end after that, in one turn.
          if (error) queueMicrotask(() => settle(on, id, entry, true));
          else settle(on, id, entry, false);
        });
      } catch (error) {
        // When it is closing, `close` follows and drops what was sent.
        if (error instanceof IllegalOperationError) return;
        sent.delete(id);
        bytes -= weightOf(row);
        entry.span?.end('unsendable');
        refuseLater(row, error instanceof Error ? error.message : String(error));
      }
    },
    unconfirmed: () => sent.size,
    oldestUnconfirmedMs() {
      const [first] = sent.values();
      return first === undefined ? 0 : nowMs() - first.sentAtMs;
    },
    close: () => kept.close(),
  };
}

/** A message's id ends in that of its row, which no other row of the outbox has. */
function outboxIdOf(messageId: string): string {
  return messageId.slice(messageId.lastIndexOf('/') + 1);
}
