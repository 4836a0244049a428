import type { Log } from '@strangler/platform/log.ts';
import { type Consumer, consume, oneByOne } from '@strangler/platform/outbox/consumer.ts';
import { declareTopology } from '@strangler/platform/outbox/declare.ts';
import type { Delivery, Outcome } from '@strangler/platform/outbox/delivery.ts';
import type { TopologySpec } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import { z } from 'zod';

export type PaymentConsumer = {
  /** Takes no more messages; what was not finished is left to others. */
  stop(graceMs: number): Promise<void>;
};

const news = z.object({ data: z.object({ order_id: z.int().min(1) }) });

export function paymentTopology(exchange: string, queue: string): TopologySpec {
  const patterns = ['shop.payment.settled', 'shop.payment.failed', 'shop.payment.refunded'];
  return { exchange, consumers: [{ name: queue, patterns, order: 'by key' }] };
}

/**
 * Hears that payments are decided. A message is a reason to ask, and no more: what became of the payment is the payments' to
 * say, so that messages may come late, again and in any order.
 */
export function listenForPayments({
  rabbit,
  exchange,
  queue,
  onNews,
  log,
  metrics,
}: {
  rabbit: RabbitConnection;
  exchange: string;
  queue: string;
  onNews: (orderId: number) => Promise<void>;
  log: Log;
  metrics: Registry;
}): PaymentConsumer {
  let stopping = false;
  let consumer: Consumer | undefined;

  const handle = async ({ body }: Delivery): Promise<Outcome> => {
    const read = news.safeParse(parsed(body));
    if (!read.success) return { outcome: 'poison', reason: `no news of a payment: ${z.prettifyError(read.error)}` };
    await onNews(read.data.data.order_id);
    return 'done';
  };
  const forget = rabbit.onConnected(async (source) => {
    await declareTopology(source, paymentTopology(exchange, queue));
    if (stopping) return;
    const of = { rabbit, exchange, log, metrics };
    consumer ??= consume({ ...of, consumer: { name: queue, order: 'by key' }, handle: oneByOne(handle) });
  });

  return {
    async stop(graceMs) {
      stopping = true;
      forget();
      await consumer?.stop(graceMs);
    },
  };
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
