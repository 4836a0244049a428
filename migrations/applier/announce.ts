import {
  type AppliedChange,
  type AppliedMessage,
  appliedExchange,
  appliedRoutingKey,
  formatAppliedMessage,
  maxAppliedChanges,
} from '@strangler/platform/contracts/applied-message.ts';
import type { RowMessage } from '@strangler/platform/contracts/row-message.ts';
import type { Log } from '@strangler/platform/log.ts';
import { keepChannel } from '@strangler/platform/outbox/channel.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { ConfirmChannel } from 'amqplib';
import { Hindrance } from './faults.ts';

/** A change of which is told that it is in the target. */
export type ToldChange = Pick<RowMessage, 'key' | 'keyText' | 'op' | 'version' | 'at'>;

/** Changes of one source table. */
export type Announcement = { table: string; target: string; changes: readonly ToldChange[] };

export type Announcer = {
  /** Resolves when the broker has taken all of it. @throws Hindrance when it has not, or may not have. */
  announce(announcements: readonly Announcement[]): Promise<void>;
  close(): Promise<void>;
};

/** How long the broker may take to confirm before it is asked again. */
const confirmTimeoutMs = 10_000;

/** Tells on the exchange of applied changes what is in the target; declares it with every connection. */
export function createAnnouncer(options: {
  rabbit: RabbitConnection;
  exchange: string;
  slice: string;
  log: Log;
}): Announcer {
  const { rabbit, slice, log } = options;
  const exchange = appliedExchange(options.exchange);
  let current: ConfirmChannel | undefined;

  const kept = keepChannel({
    rabbit,
    log,
    async use(channel) {
      await channel.assertExchange(exchange, 'topic', { durable: true });
      channel.once('close', () => {
        if (current === channel) current = undefined;
      });
      current = channel;
    },
  });

  function publish(channel: ConfirmChannel, message: AppliedMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Hindrance('announcement', `${exchange}: no confirm within ${confirmTimeoutMs} ms`)),
        confirmTimeoutMs,
      );
      channel.publish(
        exchange,
        appliedRoutingKey(slice, message.table),
        Buffer.from(formatAppliedMessage(message)),
        { persistent: true, contentType: 'application/json', contentEncoding: 'utf-8', type: 'applied' },
        (error) => {
          clearTimeout(timer);
          if (!error) return resolve();
          const found = error instanceof Error ? error.message : 'a refusal: a queue that is bound to it is full';
          reject(new Hindrance('announcement', `${exchange}: expected the broker to take a message, found ${found}`));
        },
      );
    });
  }

  return {
    async announce(announcements) {
      const messages = messagesOf(slice, announcements, new Date());
      if (messages.length === 0) return;
      const channel = current;
      if (channel === undefined) throw new Hindrance('announcement', `${exchange}: no channel to RabbitMQ`);
      try {
        await Promise.all(messages.map((message) => publish(channel, message)));
      } catch (error) {
        if (error instanceof Hindrance) throw error;
        // A channel that is closing takes nothing.
        const found = error instanceof Error ? error.message : String(error);
        throw new Hindrance('announcement', `${exchange}: ${found}`, { cause: error });
      }
    },
    close: () => kept.close(),
  };
}

/** The messages that tell of changes: of one table each, and of so many changes at most. */
export function messagesOf(slice: string, announcements: readonly Announcement[], now: Date): AppliedMessage[] {
  return announcements.flatMap(({ table, target, changes }) => {
    const messages: AppliedMessage[] = [];
    for (let from = 0; from < changes.length; from += maxAppliedChanges) {
      const told = changes
        .slice(from, from + maxAppliedChanges)
        .map(({ key, keyText, op, version, at }): AppliedChange => ({ key, keyText, op, version, at }));
      messages.push({ slice, table, target, appliedAt: now.toISOString(), extent: 'changes', changes: told });
    }
    return messages;
  });
}
