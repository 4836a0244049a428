import { pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import { keepChannel, publishConfirmed } from '@strangler/platform/outbox/channel.ts';
import { RabbitAway, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { ConfirmChannel } from 'amqplib';

export type Message = {
  exchange: string;
  routingKey: string;
  /** Sent as JSON. */
  body: unknown;
  messageId: string;
  headers?: Record<string, string>;
  priority?: number;
};

export type Publisher = {
  /** Resolves when the broker has taken it and at least one queue has it. @throws RabbitAway, or what the broker says. */
  publish(message: Message): Promise<void>;
  /** The same where nobody may be listening, such as a fan-out: resolves when the broker has taken it. */
  broadcast(message: Message): Promise<void>;
  close(): Promise<void>;
};

/** How long a publication waits for a channel. */
const channelWaitMs = 5_000;

/** Publishes over one confirm channel, which is made anew after each loss. */
export function createPublisher({ rabbit, log }: { rabbit: RabbitConnection; log: Log }): Publisher {
  let current: ConfirmChannel | undefined;
  let arrived = new AbortController();
  const kept = keepChannel({
    rabbit,
    log,
    use(channel) {
      current = channel;
      arrived.abort();
      channel.once('close', () => {
        if (current === channel) current = undefined;
        arrived = new AbortController();
      });
    },
  });

  const channel = async (): Promise<ConfirmChannel> => {
    if (current === undefined) await pause(channelWaitMs, arrived.signal);
    if (current === undefined) throw new RabbitAway(`none within ${channelWaitMs} ms`);
    return current;
  };

  const properties = ({ messageId, headers = {}, priority }: Message) => ({
    messageId,
    headers,
    contentType: 'application/json',
    persistent: true,
    ...(priority === undefined ? {} : { priority }),
  });

  return {
    async publish(message) {
      const { exchange, routingKey } = message;
      const body = Buffer.from(JSON.stringify(message.body));
      await publishConfirmed(await channel(), { exchange, routingKey, body, properties: properties(message) });
    },
    async broadcast(message) {
      const to = await channel();
      await new Promise<void>((resolve, reject) => {
        const body = Buffer.from(JSON.stringify(message.body));
        to.publish(message.exchange, message.routingKey, body, properties(message), (error: unknown) =>
          error ? reject(error) : resolve(),
        );
      });
    },
    close: () => kept.close(),
  };
}
