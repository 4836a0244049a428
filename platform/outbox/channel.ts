import type { ConfirmChannel } from 'amqplib';
import { type Backoff, nextBackoffMs, pause } from '../backoff.ts';
import type { Log } from '../log.ts';
import { type ChannelSource, RabbitAway, type RabbitConnection } from '../rabbit.ts';

export type KeptChannel = {
  /** Makes no further channel and closes the present one. */
  close(): Promise<void>;
};

const backoff: Backoff = { baseMs: 50, capMs: 5000 };

/**
 * Keeps one confirm channel: makes it when connected, and another when it or its connection has ended, after a pause
 * that grows while they fail soon. `use` is called once with each channel.
 */
export function keepChannel({
  rabbit,
  log,
  use,
}: {
  rabbit: Pick<RabbitConnection, 'onConnected'>;
  log: Log;
  use: (channel: ConfirmChannel) => void | Promise<void>;
}): KeptChannel {
  const stopped = new AbortController();
  let current: ConfirmChannel | undefined;

  async function keep(source: ChannelSource): Promise<void> {
    let delayMs: number | undefined;
    while (!stopped.signal.aborted) {
      try {
        const channel = await source.confirmChannel();
        if (stopped.signal.aborted) return void channel.close().catch(() => {});
        current = channel;
        const closed = new Promise((resolve) => channel.once('close', resolve));
        try {
          await use(channel);
        } catch (error) {
          channel.close().catch(() => {});
          throw error;
        }
        const sinceMs = performance.now();
        await closed;
        current = undefined;
        // One that ends at once, again and again, is not to be made without end.
        if (performance.now() - sinceMs > backoff.capMs) delayMs = undefined;
      } catch (error) {
        current = undefined;
        // Whoever gave the source decides: it has ended with its connection, or `keep` is called with it again.
        if (error instanceof RabbitAway) throw error;
        log.warn({ err: error }, 'a RabbitMQ channel could not be used; another will be made');
      }
      delayMs = nextBackoffMs(delayMs, backoff);
      await pause(delayMs, stopped.signal);
    }
  }

  const forget = rabbit.onConnected(keep);
  return {
    async close() {
      stopped.abort();
      forget();
      await current?.close().catch(() => {});
      current = undefined;
    },
  };
}

/** Publishes one message and resolves when the broker has taken it. Throws when it was nacked, returned, or the channel ended. */
export function publishConfirmed(
  channel: ConfirmChannel,
  message: { exchange: string; routingKey: string; body: Buffer; properties: Parameters<ConfirmChannel['publish']>[3] },
): Promise<void> {
  const { exchange, routingKey, body, properties } = message;
  return new Promise((resolve, reject) => {
    let returned = false;
    const onReturn = (back: { properties: { messageId?: unknown }; fields: object; content: Buffer }) => {
      const fields = back.fields as { exchange?: string; routingKey?: string };
      if (fields.exchange !== exchange || fields.routingKey !== routingKey) return;
      if (back.properties.messageId === properties?.messageId) returned = true;
    };
    channel.on('return', onReturn);
    try {
      channel.publish(exchange, routingKey, body, { ...properties, mandatory: true, persistent: true }, (error) => {
        channel.off('return', onReturn);
        if (error) reject(error instanceof Error ? error : new Error('the broker refused the message'));
        else if (returned) reject(new Error(`no queue takes messages of exchange "${exchange}", key "${routingKey}"`));
        else resolve();
      });
    } catch (error) {
      channel.off('return', onReturn);
      reject(error);
    }
  });
}
