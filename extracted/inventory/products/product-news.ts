import type { Log } from '@strangler/platform/log.ts';
import { change, type Executor } from '@strangler/platform/mysql/statements.ts';
import { type Delivery, jsonOf, type Outcome } from '@strangler/platform/outbox/delivery.ts';
import { type Listener, listen } from '@strangler/platform/outbox/listen.ts';
import type { ConsumerSpec, TopologySpec } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import type { Registry } from 'prom-client';
import { z } from 'zod';

export type ProductNewsOptions = {
  rabbit: RabbitConnection;
  /** The one that relays publish to. */
  exchange: string;
  /** Shared by all instances. */
  queue: string;
  pool: Executor;
  log: Log;
  registry: Registry;
};

const about = { product_id: z.int().min(1), occurred_at: z.iso.datetime() };
const news = z.discriminatedUnion('type', [
  z.object({ type: z.literal('product.created'), data: z.object(about) }),
  z.object({ type: z.literal('product.removed'), data: z.object(about) }),
]);

function productNewsConsumer(name: string): ConsumerSpec {
  return { name, patterns: ['shop.product.created', 'shop.product.removed'], order: 'none' };
}

export function productNewsTopology(exchange: string, queue: string): TopologySpec {
  return { exchange, consumers: [productNewsConsumer(queue)] };
}

/**
 * Keeps what events tell of products, whoever owns the catalogue: its events bear the shop's name on either side. A product that was
 * removed never comes back, so that messages may come in any order, and again.
 */
export function listenForProducts({ rabbit, exchange, queue, pool, log, registry }: ProductNewsOptions): Listener {
  const handle = async ({ body }: Delivery): Promise<Outcome> => {
    const read = news.safeParse(jsonOf(body));
    if (!read.success) return { outcome: 'poison', reason: `no news of a product: ${z.prettifyError(read.error)}` };
    const { type, data } = read.data;
    const removedAt = type === 'product.removed' ? new Date(data.occurred_at) : null;
    await change(
      pool,
      `INSERT INTO product_news (product_id, removed_at) VALUES (?, ?)
       ON DUPLICATE KEY UPDATE removed_at = COALESCE(removed_at, ?)`,
      [data.product_id, removedAt, removedAt],
    );
    return 'done';
  };

  return listen({ rabbit, exchange, consumer: productNewsConsumer(queue), handle, log, metrics: registry });
}
