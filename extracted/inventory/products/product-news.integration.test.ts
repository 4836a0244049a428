import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { deleteTopology } from '@strangler/platform/outbox/declare.ts';
import { connect, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import fc from 'fast-check';
import { cancellationsConsumer } from '../cancellations/cancellation-consumer.ts';
import { expiryTopology } from '../expiry/expiry-consumer.ts';
import { startTestInventory, type TestInventory } from '../testing/inventory.ts';
import { productNewsTopology } from './product-news.ts';

const suffix = randomBytes(4).toString('hex');
const exchange = `test-products-${suffix}`;
const [queue, expiryQueue] = [`inventory.products.${suffix}`, `inventory.expiry.${suffix}`];
const cancellationsQueue = `inventory.cancellations.${suffix}`;

let rabbit: RabbitConnection;
let inventory: TestInventory;

beforeAll(async () => {
  const { rabbitmqUrl } = testServers();
  rabbit = connect({ url: rabbitmqUrl, log: createLog({ name: 'test', level: 'silent' }) });
  inventory = await startTestInventory('products', {
    RABBITMQ_URL: rabbitmqUrl,
    OUTBOX_EXCHANGE: exchange,
    EXPIRY_QUEUE: expiryQueue,
    PRODUCTS_QUEUE: queue,
    CANCELLATIONS_QUEUE: cancellationsQueue,
  });
  const listening = /consumer_messages_total|inventory_expiry_listening\{[^}]*\} 1/;
  await eventually(async () => expect((await inventory.send('GET', '/metrics')).text).toMatch(listening));
});
afterAll(async () => {
  await inventory?.stop();
  if (rabbit) {
    await deleteTopology(rabbit, expiryTopology(exchange, expiryQueue));
    await deleteTopology(rabbit, productNewsTopology(exchange, queue));
    await deleteTopology(rabbit, { exchange, consumers: [cancellationsConsumer(cancellationsQueue)] });
  }
  await rabbit?.close();
});

type Type = 'product.created' | 'product.removed' | 'product.changed';

async function tell(...events: [type: Type, productId: number][]): Promise<void> {
  const channel = await rabbit.confirmChannel();
  for (const [type, product_id] of events) {
    const body = { id: 'x', type, schema_version: 1, data: { product_id, occurred_at: '2026-01-01T00:00:00.000Z' } };
    channel.publish(exchange, `shop.${type}`, Buffer.from(JSON.stringify(body)), {
      messageId: `${type} ${product_id}`,
    });
  }
  await channel.waitForConfirms();
  await channel.close();
}
const statusOf = async (productId: number) => (await inventory.send('GET', `/api/inventory/${productId}`)).status;

test('a product that only events tell of is there, and is not once it was removed', async () => {
  // The queue may be declared a moment after that of the expiry: what nobody takes yet is told again.
  await eventually(async () => {
    await tell(['product.created', 501]);
    expect(await statusOf(501)).toBe(200);
  });
  await tell(['product.removed', 501]);
  await eventually(async () => expect(await statusOf(501)).toBe(404));
});

test('a product that the pipe has copied is not there once an event has removed it', async () => {
  const productId = await inventory.product(4);
  expect(await statusOf(productId)).toBe(200);
  await tell(['product.removed', productId]);
  await eventually(async () => expect(await statusOf(productId)).toBe(404));
  const { missing_ids } = await inventory.client.call<{ missing_ids: number[] }>('GetStock', { ids: [productId] });
  expect(missing_ids).toEqual([productId]);
});

test('in whatever order it is told of, and however often, a removed product stays removed', async () => {
  let productId = 600;
  const orders = fc.sample(
    fc.shuffledSubarray<Type>(['product.created', 'product.removed', 'product.created', 'product.removed'], {
      minLength: 2,
    }),
    12,
  );
  const removed = new Map<number, boolean>();
  for (const order of orders) {
    productId += 1;
    removed.set(productId, order.includes('product.removed'));
    const id = productId;
    await tell(...order.map((type): [Type, number] => [type, id]));
  }
  for (const [id, gone] of removed) await eventually(async () => expect(await statusOf(id)).toBe(gone ? 404 : 200));
});

test('what is no news of a product is a dead letter', async () => {
  const channel = await rabbit.confirmChannel();
  channel.publish(exchange, 'shop.product.created', Buffer.from('{}'), { messageId: 'bad' });
  await channel.waitForConfirms();
  await eventually(async () => expect((await channel.checkQueue(`${queue}.dead`)).messageCount).toBe(1));
  await channel.close();
});
