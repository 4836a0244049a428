import type { Log } from '@strangler/platform/log.ts';
import { type Consumer, consume, oneByOne } from '@strangler/platform/outbox/consumer.ts';
import { declareTopology } from '@strangler/platform/outbox/declare.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import type { ConsumerSpec, TopologySpec } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import { z } from 'zod';
import { ownSource, refusedWebhookType } from '../events/event-recorder.ts';
import { type WebhookInbox, webhookSchema } from './webhook-inbox.ts';

/** The consumer whose dead letters are the webhooks that could not be taken: `strangler dlq list --consumer payments.webhooks`. */
export function refusedWebhooksConsumer(name: string): ConsumerSpec {
  return { name, patterns: [`${ownSource}.${refusedWebhookType}`], order: 'none', maxLength: 100_000 };
}

export function refusedWebhooksTopology(exchange: string, queue: string): TopologySpec {
  return { exchange, consumers: [refusedWebhooksConsumer(queue)] };
}

const messageSchema = z.object({ data: z.object({ event_id: z.string(), reason: z.string(), body: z.string() }) });

export type RefusedWebhooks = { stop(graceMs: number): Promise<void> };

/**
 * Takes refused webhooks from their queue and tries each once more: one whose cause is gone takes effect, so that a replay of dead
 * letters is all that is needed after a repair. What still cannot be taken goes to the dead letters with its reason.
 */
export function takeRefusedWebhooks({
  rabbit,
  exchange,
  queue,
  inbox,
  log,
  metrics,
}: {
  rabbit: RabbitConnection;
  exchange: string;
  queue: string;
  inbox: Pick<WebhookInbox, 'again'>;
  log: Log;
  metrics: Registry;
}): RefusedWebhooks {
  let consumer: Consumer | undefined;
  let stopped = false;
  const forget = rabbit.onConnected(async (source) => {
    await declareTopology(source, refusedWebhooksTopology(exchange, queue));
    if (stopped) return;
    consumer ??= consume({
      rabbit,
      exchange,
      consumer: refusedWebhooksConsumer(queue),
      handle: oneByOne((delivery) => tryAgain(delivery, inbox)),
      log,
      metrics,
    });
  });
  return {
    async stop(graceMs) {
      stopped = true;
      forget();
      await consumer?.stop(graceMs);
    },
  };
}

async function tryAgain({ body }: Delivery, inbox: Pick<WebhookInbox, 'again'>): Promise<Outcome> {
  const message = messageSchema.safeParse(jsonOf(body.toString('utf8')));
  if (!message.success) return { outcome: 'poison', reason: 'the message is not one of a refused webhook' };
  const { reason, body: text } = message.data.data;
  const webhook = webhookSchema.safeParse(jsonOf(text));
  if (!webhook.success) return { outcome: 'poison', reason };
  const outcome = await inbox.again(webhook.data);
  return outcome === 'mismatch' || outcome === 'unknown' ? { outcome: 'poison', reason } : 'done';
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
