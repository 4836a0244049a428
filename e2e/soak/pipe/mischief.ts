import { pause } from '@strangler/platform/backoff.ts';
import { names } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { ConsumeMessage } from 'amqplib';

export type Mischief = {
  /** Messages that were put into the applier's queues once more. */
  sent(): number;
  stop(): Promise<void>;
};

/** Of all that the stream has held, as many are kept to be sent again. */
const kept = 3_000;

/**
 * Puts messages that the stream keeps into the queues of their parts again, some of them soon and some of them late, in an
 * order of its own.
 */
export function startMischief(options: {
  rabbit: RabbitConnection;
  exchange: string;
  consumer: string;
  random: () => number;
}): Mischief {
  const { rabbit, exchange, consumer, random } = options;
  const stopped = new AbortController();
  const seen: ConsumeMessage[] = [];
  let offset: number | undefined;
  let sent = 0;

  function keep(message: ConsumeMessage): void {
    offset = Number(message.properties.headers?.['x-stream-offset']);
    if (seen.length < kept) seen.push(message);
    else seen[Math.floor(random() * kept)] = message;
  }

  /** Until the channel or the connection ends. */
  async function work(): Promise<void> {
    const channel = await rabbit.confirmChannel();
    let open = true;
    channel.on('error', () => {});
    channel.once('close', () => {
      open = false;
    });
    await channel.prefetch(500);
    const { consumerTag } = await channel.consume(
      names.stream(exchange),
      (message) => {
        if (message === null) return;
        keep(message);
        channel.ack(message);
      },
      { arguments: { 'x-stream-offset': offset === undefined ? 'first' : offset + 1 } },
    );
    while (open && !stopped.signal.aborted) {
      const batch = Array.from({ length: Math.min(seen.length, Math.floor(random() * 80)) }, () => {
        // The newest as often as all the others.
        const at = random() < 0.5 ? Math.floor(random() * seen.length) : seen.length - 1 - Math.floor(random() * 50);
        return seen[Math.max(0, at)]!;
      });
      for (const { content, properties } of batch) {
        const { 'x-stream-offset': _offset, ...headers } = properties.headers ?? {};
        const queue = `${consumer}.${String(headers['x-strangler-part'])}`;
        channel.sendToQueue(queue, content, { ...properties, headers });
      }
      if (batch.length > 0) await channel.waitForConfirms();
      sent += batch.length;
      await pause(100 + random() * 900, stopped.signal);
    }
    if (!open) return;
    await channel.cancel(consumerTag);
    await channel.close();
  }

  const working = (async () => {
    while (!stopped.signal.aborted) {
      await work().catch(() => {});
      await pause(300, stopped.signal);
    }
  })();
  return {
    sent: () => sent,
    async stop() {
      stopped.abort();
      await working;
    },
  };
}
