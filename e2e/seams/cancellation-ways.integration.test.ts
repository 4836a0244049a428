import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cancellationsConsumer as stockConsumer } from '@strangler/inventory/cancellations/cancellation-consumer.ts';
import { expiryTopology } from '@strangler/inventory/expiry/expiry-consumer.ts';
import { productNewsTopology } from '@strangler/inventory/products/product-news.ts';
import type { TestAccount } from '@strangler/monolith/testing/shop.ts';
import { answersConsumer } from '@strangler/orders/cancellation/answer-consumer.ts';
import { paymentTopology } from '@strangler/orders/neighbours/payment-consumer.ts';
import type { RunningOrders } from '@strangler/orders/orders.ts';
import { cancellationsConsumer as moneyConsumer } from '@strangler/payments/cancellations/cancellation-consumer.ts';
import { sender, type TestInstance } from '@strangler/payments/testing/payments.ts';
import { refusedWebhooksConsumer } from '@strangler/payments/webhooks/refused-webhooks.ts';
import { createLog } from '@strangler/platform/log.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { createDeadLetters } from '@strangler/platform/outbox/dead-letters.ts';
import { messageOf, type OutboxRow } from '@strangler/platform/outbox/message.ts';
import { relayConfig } from '@strangler/platform/outbox/relay/config.ts';
import { startRelayProcess } from '@strangler/platform/outbox/relay/process.ts';
import { sourceUuid } from '@strangler/platform/outbox/schema.ts';
import { type RabbitFixture, rabbitFixture } from '@strangler/platform/outbox/testing/fixture.ts';
import { eventually, freePort } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { type OrderSides, startOrderSides } from './order-sides.fixture.ts';

const initial = 100;
const priceCents = 700;
const patience = { withinMs: 60_000 };

let fixture: RabbitFixture;
let sides: OrderSides;
let payments: TestInstance;
let queues: Record<'stock' | 'money' | 'answers' | 'news' | 'expiry' | 'products' | 'webhooks', string>;
let grpcPort: number;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  fixture = rabbitFixture('ways');
  const { exchange, rabbitmqUrl } = fixture;
  const named = (name: string) => fixture.named(name);
  queues = {
    ...{ stock: named('inventory.cancellations'), money: named('payments.cancellations') },
    ...{ answers: named('orders.cancellations'), news: named('orders.payments') },
    ...{ expiry: named('inventory.expiry'), products: named('inventory.products') },
    webhooks: named('payments.webhooks'),
  };
  await fixture.declare({
    consumers: [
      ...[stockConsumer(queues.stock), moneyConsumer(queues.money), answersConsumer(queues.answers)],
      ...paymentTopology(exchange, queues.news).consumers,
      ...expiryTopology(exchange, queues.expiry).consumers,
      ...productNewsTopology(exchange, queues.products).consumers,
      refusedWebhooksConsumer(queues.webhooks),
    ],
    stream: {},
  });
  const rabbit = { RABBITMQ_URL: rabbitmqUrl, OUTBOX_EXCHANGE: exchange };
  grpcPort = await freePort();
  sides = await startOrderSides(
    'ways',
    {},
    {
      inventory: {
        ...{ ...rabbit, CANCELLATIONS_QUEUE: queues.stock, EXPIRY_QUEUE: queues.expiry },
        PRODUCTS_QUEUE: queues.products,
      },
      payments: {
        ...{ ...rabbit, CANCELLATIONS_QUEUE: queues.money, WEBHOOK_QUEUE: queues.webhooks },
        GRPC_PORT: `${grpcPort}`,
      },
    },
  );
  payments = sides.service;
  const log = createLog({ name: 'relay', level: 'silent' });
  for (const url of [sides.database.url, sides.inventory.database.url, sides.payments.database.url]) {
    const config = relayConfig({ ...rabbit, DATABASE_URL: url, PORT: '0', POLL_IDLE: '50ms' });
    const relay = await startRelayProcess({ config, log });
    closers.push(() => relay.lifecycle.stop('end of test'));
  }
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
  await sides?.stop();
  await fixture?.close();
});

const startOrders = (way: string): Promise<RunningOrders> =>
  sides.start({
    ...{ RABBITMQ_URL: fixture.rabbitmqUrl, OUTBOX_EXCHANGE: fixture.exchange },
    ...{ PAYMENTS_QUEUE: queues.news, CANCELLATIONS_QUEUE: queues.answers },
    ...{ CANCELLATION: way, CANCEL_WAIT: '3s', CHECKOUT_WAIT: '30s', IDEMPOTENCY_LEASE: '35s' },
  });

type Sold = { orderId: number; buyer: TestAccount };

async function sell(url: string, product: number, cardToken: string): Promise<Sold> {
  const buyer = await sides.customer();
  await sides.commerce.fill(buyer, { [product]: 1 });
  const answer = await sides.checkOut(url, buyer, { cardToken, key: randomUUID() });
  expect([answer.status, answer.text.slice(0, 300)]).toEqual([201, expect.any(String)]);
  return { orderId: answer.body.order.id, buyer };
}

const cancel = (url: string, { orderId, buyer }: Sold) =>
  sender(url)('POST', `/api/orders/${orderId}/cancel`, { token: buyer.token });

/** How often each event of these orders stands in an outbox. */
async function told(db: Pool, topics: string, orderIds: readonly number[]): Promise<Record<string, number>> {
  const rows = await select<{ topic: string; orderId: number }>(
    db,
    `SELECT topic, CAST(JSON_EXTRACT(payload, '$.data.order_id') AS UNSIGNED) AS orderId FROM strangler_outbox
      WHERE topic LIKE ? HAVING orderId IN (?)`,
    [topics, orderIds],
  );
  const counts: Record<string, number> = {};
  for (const { topic, orderId } of rows) counts[`${topic} ${orderId}`] = (counts[`${topic} ${orderId}`] ?? 0) + 1;
  return counts;
}

/** How often each reservation of a product was told to be released. One that was never sold knows of no order. */
async function timesReleased(product: number): Promise<number[]> {
  const rows = await select<{ n: number }>(
    sides.inventory.db,
    `SELECT COUNT(*) AS n FROM strangler_outbox WHERE topic = 'shop.stock.released'
        AND JSON_EXTRACT(payload, '$.data.lines[0].product_id') = ? GROUP BY subject_key`,
    [product],
  );
  return rows.map(({ n }) => Number(n));
}

/** Everything that the three have told of cancellations, once more, as a relay does after a crash; newest first. */
async function tellAllAgain(): Promise<void> {
  const channel = await fixture.rabbit.confirmChannel();
  for (const db of [sides.db, sides.inventory.db, payments.pool]) {
    const source = await sourceUuid(db);
    const rows = await select<OutboxRow>(
      db,
      `SELECT CAST(id AS CHAR) AS id, part, kind, epoch, topic, subject, CONVERT(subject_key USING utf8mb4) AS subjectKey, op,
          payload, headers, '2026-01-01T00:00:00.000000Z' AS at
         FROM strangler_outbox WHERE topic LIKE 'shop.%cancel%' OR topic LIKE 'shop.payment.%' ORDER BY strangler_outbox.id DESC`,
    );
    for (const row of rows) {
      const { routingKey, body, properties } = messageOf(row, source);
      channel.publish(fixture.exchange, routingKey, body, properties);
    }
  }
  await channel.waitForConfirms();
  await channel.close();
}

/** Every book that there is of these orders, each read where it is kept. */
async function books(product: number, sold: readonly Sold[]) {
  const ids = sold.map(({ orderId }) => orderId);
  const orders = await select<{ id: number; status: string }>(
    sides.db,
    'SELECT id, status FROM orders WHERE id IN (?) ORDER BY id',
    [ids],
  );
  const rows = await select<{ orderId: number; status: string; reference: string }>(
    payments.pool,
    'SELECT order_id AS orderId, status, reference FROM payments WHERE order_id IN (?) ORDER BY order_id',
    [ids],
  );
  const money = { taken: 0, returned: 0 };
  for (const { reference } of rows) {
    for (const charge of await sides.payments.provider.charges(reference)) {
      if (charge.status === 'succeeded') money.taken += charge.amount_cents;
      money.returned += charge.refunded_cents;
    }
  }
  const [kept] = await select<{ n: number }>(
    sides.inventory.db,
    `SELECT COUNT(*) AS n FROM reservations r JOIN reservation_lines l ON l.reservation_id = r.id
      WHERE l.product_id = ? AND r.state IN ('held', 'confirmed')`,
    [product],
  );
  const open = await select(sides.db, 'SELECT id FROM sagas WHERE due_at IS NOT NULL');
  return {
    orders: orders.map(({ status }) => status),
    payments: rows.map(({ status }) => status),
    ...{ money, open, stock: { available: await sides.inventory.available(product), kept: kept?.n } },
  };
}

const dead = async () => {
  const letters = createDeadLetters(fixture.rabbit);
  const lists = [queues.stock, queues.money, queues.answers].map((name) => letters.list(name, 10));
  return (await Promise.all(lists)).flat();
};

describe.each(['orchestrated', 'choreographed'])('a cancellation that is %s', (way) => {
  test('gives back stock and money, once, with the others away, the outcome unknown, and everything told again', async () => {
    const product = await sides.product({ stock: initial, priceCents });
    const first = await startOrders(way);
    const { url } = first.server;
    // Paid; charged without an answer; not charged and without an answer; declined a while later.
    const cards = ['tok_visa', 'tok_visa', 'tok_timeout', 'tok_lost', 'tok_late_decline', 'tok_visa'];
    const sold = await Promise.all(cards.map((card) => sell(url, product, card)));
    const kept = sold.pop()!;
    expect((await books(product, [...sold, kept])).stock).toEqual({ available: initial - 6, kept: 6 });

    const [early, ...others] = sold;
    const answer = await cancel(url, early!);
    expect([answer.status, answer.body.status]).toEqual([200, 'cancelled']);
    await eventually(async () => {
      const shown = await sender(url)('GET', `/api/orders/${early!.orderId}`, { token: early!.buyer.token });
      expect(shown.body.payment.status).toBe('refunded');
    }, patience);

    // The others are cancelled while the payments are away; the instance that took it dies before they are back.
    await payments.lifecycle.stop('away for a while');
    const answers = await Promise.all(others.map((one) => cancel(url, one)));
    expect(answers.map(({ status, body }) => [status, body.status])).toEqual(others.map(() => [200, 'cancelled']));
    await first.lifecycle.stop('gone');
    payments = await sides.payments.another({
      ...{ JWKS_URL: `${sides.shop.url}/.well-known/jwks.json`, PROVIDER_TIMEOUT: '1s', GRPC_PORT: `${grpcPort}` },
      ...{ FIRST_CHECK: '300ms', RECONCILE_EVERY: '200ms', ABANDON_AFTER: '3s', LONGEST_CHECK: '2s' },
      ...{ RABBITMQ_URL: fixture.rabbitmqUrl, OUTBOX_EXCHANGE: fixture.exchange },
      ...{ CANCELLATIONS_QUEUE: queues.money, WEBHOOK_QUEUE: queues.webhooks },
    });
    const second = await startOrders(way);
    const all = [...sold, kept];
    const whole = {
      orders: [...sold.map(() => 'cancelled'), 'paid'],
      payments: ['refunded', 'refunded', 'refunded', 'failed', 'failed', 'settled'],
      // Taken: three that are cancelled and one that stands.
      money: { taken: 4 * priceCents, returned: 3 * priceCents },
      ...{ stock: { available: initial - 1, kept: 1 }, open: [] },
    };
    all.sort((a, b) => a.orderId - b.orderId);
    const inOrder = (found: Awaited<ReturnType<typeof books>>) => ({
      ...found,
      orders: [...found.orders].sort(),
      payments: [...found.payments].sort(),
    });
    const expected = { ...whole, orders: [...whole.orders].sort(), payments: [...whole.payments].sort() };
    await eventually(async () => expect(inOrder(await books(product, all))).toEqual(expected), patience);
    const shown = () =>
      Promise.all(
        sold.map(async ({ orderId, buyer }) => {
          const { body } = await sender(second.server.url)('GET', `/api/orders/${orderId}`, { token: buyer.token });
          return [body.status, body.payment.status];
        }),
      );
    await eventually(
      async () =>
        expect(await shown()).toEqual([
          ...['refunded', 'refunded', 'refunded', 'failed', 'failed'].map((status) => ['cancelled', status]),
        ]),
      patience,
    );

    // Each thing is told once; and all of it told again, backwards, changes nothing.
    const ids = sold.map(({ orderId }) => orderId);
    const tellings = async () => ({
      orders: await told(sides.db, 'shop.order.cancelled', ids),
      stock: await timesReleased(product),
      refunds: await told(payments.pool, 'shop.payment.refunded', ids),
      answers: {
        ...(await told(sides.inventory.db, 'shop.cancellation.%', ids)),
        ...(await told(payments.pool, 'shop.cancellation.%', ids)),
      },
    });
    const onceEach = (topic: string, of: readonly number[]) =>
      Object.fromEntries(of.map((id) => [`${topic} ${id}`, 1]));
    const said = {
      orders: onceEach('shop.order.cancelled', ids),
      stock: ids.map(() => 1),
      refunds: onceEach('shop.payment.refunded', ids.slice(0, 3)),
      answers:
        way === 'orchestrated'
          ? {}
          : {
              ...onceEach('shop.cancellation.stock_answered', ids),
              ...onceEach('shop.cancellation.payment_answered', ids),
            },
    };
    expect(await tellings()).toEqual(said);
    await tellAllAgain();
    const quiet = async () => {
      const channel = await fixture.rabbit.channel();
      const counts = [queues.stock, queues.money, queues.answers].map((queue) => channel.checkQueue(queue));
      const waiting = (await Promise.all(counts)).map(({ messageCount }) => messageCount);
      await channel.close();
      return waiting;
    };
    await eventually(async () => expect(await quiet()).toEqual([0, 0, 0]), patience);
    expect(inOrder(await books(product, all))).toEqual(expected);
    expect(await tellings()).toEqual(said);
    expect(await dead()).toEqual([]);

    // Whoever has the order knows that nothing of it is open.
    const admin = await sides.shop.account('admin');
    const asked = await sender(second.server.url)('GET', '/internal/cancellations', { token: admin.token });
    expect([asked.status, asked.body]).toEqual([200, { items: [] }]);
    const own = await select<{ stock: string; payment: string }>(
      sides.db,
      'SELECT stock, payment FROM cancellations WHERE order_id IN (?) ORDER BY order_id',
      [ids],
    );
    expect(own).toHaveLength(way === 'choreographed' ? ids.length : 0);
    await second.lifecycle.stop('end of the way');
  }, 180_000);
});

test('what can never be understood ends among the dead letters of each, and holds nobody up', async () => {
  const channel = await fixture.rabbit.confirmChannel();
  const publish = (routingKey: string, messageId: string) =>
    channel.publish(fixture.exchange, routingKey, Buffer.from('{"id":"x","type":"order.cancelled","data":{}}'), {
      messageId,
      headers: { 'x-strangler-mark-cancellation': 'choreographed' },
    });
  publish('shop.order.cancelled', 'no order');
  await channel.waitForConfirms();
  await channel.close();
  await eventually(async () => expect(await dead()).toHaveLength(2), patience);
}, 90_000);
