import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { deleteTopology } from '@strangler/platform/outbox/declare.ts';
import { startRelayProcess } from '@strangler/platform/outbox/testing/relay-process.ts';
import { connect, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { cancellationsConsumer } from '../cancellations/cancellation-consumer.ts';
import { productNewsTopology } from '../products/product-news.ts';
import { startTestInventory, type TestInstance, type TestInventory } from '../testing/inventory.ts';
import { expiryTopology } from './expiry-consumer.ts';

const suffix = randomBytes(4).toString('hex');
const exchange = `test-expiry-${suffix}`;
const queue = `inventory.expiry.${suffix}`;
const productsQueue = `inventory.products.${suffix}`;
const cancellationsQueue = `inventory.cancellations.${suffix}`;
const log = createLog({ name: 'test', level: 'silent' });

let rabbit: RabbitConnection;
let inventory: TestInventory;
let relay: Awaited<ReturnType<typeof startRelayProcess>>;
let ids = 0;

beforeAll(async () => {
  const { rabbitmqUrl } = testServers();
  rabbit = connect({ url: rabbitmqUrl, log });
  inventory = await startTestInventory('expiry', {
    RABBITMQ_URL: rabbitmqUrl,
    OUTBOX_EXCHANGE: exchange,
    EXPIRY_QUEUE: queue,
    PRODUCTS_QUEUE: productsQueue,
    CANCELLATIONS_QUEUE: cancellationsQueue,
    // Whatever expires here is expired by its message.
    SWEEP_EVERY: '10m',
  });
  await eventually(async () => expect(await metric('inventory_expiry_listening')).toBe(1));
  relay = await startRelayProcess({
    DATABASE_URL: inventory.database.url,
    RABBITMQ_URL: rabbitmqUrl,
    OUTBOX_EXCHANGE: exchange,
  });
});
afterAll(async () => {
  relay?.signal('SIGTERM');
  await relay?.exited;
  await inventory?.stop();
  if (rabbit) {
    await deleteTopology(rabbit, productNewsTopology(exchange, productsQueue));
    await deleteTopology(rabbit, { exchange, consumers: [cancellationsConsumer(cancellationsQueue)] });
    await deleteTopology(rabbit, { ...expiryTopology(exchange, queue), stream: {} });
  }
  await rabbit?.close();
});

/** The sum of a metric's lines that bear these labels. */
async function metric(
  name: string,
  labels: Record<string, string> = {},
  of: TestInstance = inventory,
): Promise<number> {
  const { text } = await of.send('GET', '/metrics');
  const bears = (line: string) =>
    Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`));
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) && bears(line));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}
const expiredBy = (by: 'queue' | 'sweeper', of?: TestInstance) =>
  metric('inventory_expiry_late_seconds_count', { by }, of);
const handled = (outcome: string) => metric('consumer_messages_total', { consumer: queue, outcome });

async function reserve(productId: number, ttl_ms: number): Promise<string> {
  ids += 1;
  const reservation_id = `x-${ids}`;
  const lines = [{ product_id: productId, quantity: 3 }];
  await inventory.client.call('Reserve', { reservation_id, lines, ttl_ms });
  return reservation_id;
}

describe('a reservation that nobody confirms', () => {
  test('is expired by its message when its time is over, not before, however long others are held', async () => {
    const productId = await inventory.product(9);
    await reserve(productId, 1_800_000);
    const id = await reserve(productId, 2_600);
    expect(await inventory.available(productId)).toBe(3);
    await eventually(async () => expect(await inventory.available(productId)).toBe(6));
    expect(await expiredBy('queue')).toBe(1);
    expect(await expiredBy('sweeper')).toBe(0);
    expect(await handled('later')).toBeGreaterThan(0);
    expect(await inventory.client.call('Confirm', { reservation_id: id })).toMatchObject({ outcome: 'EXPIRED' });
  });

  test('and one that somebody confirms: the message finds it sold, and leaves it', async () => {
    const productId = await inventory.product(3);
    const before = await handled('done');
    const id = await reserve(productId, 1_500);
    await inventory.client.call('Confirm', { reservation_id: id });
    await eventually(async () => expect(await handled('done')).toBeGreaterThan(before));
    expect(await inventory.available(productId)).toBe(0);
  });

  test('is expired by the sweeper where its message is lost', async () => {
    const productId = await inventory.product(3);
    relay.signal('SIGKILL');
    await relay.exited;
    await reserve(productId, 1_000);
    const sweeping = await inventory.another({ SWEEP_EVERY: '50ms' });
    await eventually(async () => expect(await inventory.available(productId)).toBe(3));
    expect(await expiredBy('sweeper', sweeping)).toBe(1);
  });

  test('and a message that is none is a dead letter, and holds up nobody', async () => {
    const channel = await rabbit.confirmChannel();
    channel.publish(exchange, 'shop.stock.reserved', Buffer.from('{"type":"stock.reserved"}'), { messageId: 'bad' });
    await channel.waitForConfirms();
    await eventually(async () => expect((await channel.checkQueue(`${queue}.dead`)).messageCount).toBe(1));
    await channel.close();
  });
});
