import type { Log } from '@strangler/platform/log.ts';
import { type Delivery, jsonOf, type Outcome } from '@strangler/platform/outbox/delivery.ts';
import { type Listener, listen } from '@strangler/platform/outbox/listen.ts';
import type { ConsumerSpec, TopologySpec } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import { z } from 'zod';

const news = z.object({ data: z.object({ order_id: z.int().min(1) }) });

function paymentConsumer(name: string): ConsumerSpec {
  const patterns = ['shop.payment.settled', 'shop.payment.failed', 'shop.payment.refunded'];
  return { name, patterns, order: 'by key' };
}

export function paymentTopology(exchange: string, queue: string): TopologySpec {
  return { exchange, consumers: [paymentConsumer(queue)] };
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
}): Listener {
  const handle = async ({ body }: Delivery): Promise<Outcome> => {
    const read = news.safeParse(jsonOf(body));
    if (!read.success) return { outcome: 'poison', reason: `no news of a payment: ${z.prettifyError(read.error)}` };
    await onNews(read.data.data.order_id);
    return 'done';
  };
  return listen({ rabbit, exchange, consumer: paymentConsumer(queue), handle, log, metrics });
}
