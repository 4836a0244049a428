import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { publishConfirmed } from '@strangler/platform/outbox/channel.ts';
import { declareTopology, deleteTopology } from '@strangler/platform/outbox/declare.ts';
import { connect, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import type { ConfirmChannel } from 'amqplib';
import { answersConsumer } from '../cancellation/answer-consumer.ts';
import { paymentTopology } from '../neighbours/payment-consumer.ts';
import { startTestOrders, type TestOrders } from '../testing/orders.ts';

let orders: TestOrders;
let rabbit: RabbitConnection;
let channel: ConfirmChannel;
const exchange = `orders-test-${randomBytes(5).toString('hex')}`;
const queue = `${exchange}.payments`;
const answersQueue = `${exchange}.cancellations`;

beforeAll(async () => {
  const { rabbitmqUrl } = testServers();
  orders = await startTestOrders('orders_sales', {
    ...{ RABBITMQ_URL: rabbitmqUrl, OUTBOX_EXCHANGE: exchange, PAYMENTS_QUEUE: queue },
    CANCELLATIONS_QUEUE: answersQueue,
  });
  rabbit = connect({ url: rabbitmqUrl, log: createLog({ name: 'test', level: 'silent' }) });
  // Before anybody publishes: what no queue takes is refused.
  await declareTopology(rabbit, { exchange, consumers: [], stream: {} });
  channel = await rabbit.confirmChannel();
});
afterAll(async () => {
  await orders?.stop();
  const consumers = [...paymentTopology(exchange, queue).consumers, answersConsumer(answersQueue)];
  const spec = { exchange, consumers, stream: {} };
  if (rabbit) await deleteTopology(rabbit, spec);
  await rabbit?.close();
});

const at = (order: number) => `2026-05-0${1 + (order % 3)}T12:00:00.000Z`;

/** As a relay publishes it. */
async function tell(type: 'order.placed' | 'order.cancelled', order: number): Promise<void> {
  const quantity = 1 + (order % 2);
  const items = [{ product_id: 1 + (order % 4), name: 'A thing', unit_price_cents: 100, quantity }];
  const data = {
    ...{ order_id: order, account_id: 1 + (order % 5), total_cents: 100 * quantity, currency: 'EUR', items },
    ...(type === 'order.cancelled' ? { reason: 'customer' } : {}),
    occurred_at: at(order),
  };
  const body = Buffer.from(
    JSON.stringify({ id: `${type}-${order}`, type, schema_version: 1, aggregate: 'order', key: `${order}`, data }),
  );
  const properties = { persistent: true, messageId: `${type}-${order}` };
  await publishConfirmed(channel, { exchange, routingKey: `shop.${type}`, body, properties });
}

const ask = async (path: string) => (await orders.send('GET', path, { token: orders.admin })).body;
const days = () => ask('/internal/reports/product-days?from=2026-05-01&to=2026-05-31');
const customers = () => Promise.all([1, 2, 3, 4, 5].map((id) => ask(`/internal/reports/customers/${id}`)));
const sold = async () =>
  (await days()).items.reduce((sum: number, { quantity }: { quantity: number }) => sum + quantity, 0);

/** What the events come to, added up by the test. */
function expected(placed: number, cancelled: ReadonlySet<number>): number {
  let sum = 0;
  for (let order = 1; order <= placed; order += 1) if (!cancelled.has(order)) sum += 1 + (order % 2);
  return sum;
}

test('a read model is built anew under load while it answers, and says the same afterwards', async () => {
  let placed = 0;
  const cancelled = new Set<number>();
  const place = async () => {
    placed += 1;
    await tell('order.placed', placed);
    // Relays may publish again what they have published.
    if (placed % 7 === 0) await tell('order.placed', placed);
  };
  const cancel = async (order: number) => {
    cancelled.add(order);
    await tell('order.cancelled', order);
    if (order % 2 === 0) await tell('order.cancelled', order);
  };
  for (let n = 0; n < 300; n += 1) await place();
  for (let order = 3; order < 200; order += 9) await cancel(order);
  await eventually(async () => expect(await sold()).toBe(expected(placed, cancelled)));

  // Somebody has spoilt the model: that is what rebuilding is for.
  await orders.pool.query('UPDATE sales_days_a SET quantity = quantity + 1000 WHERE product_id = 1 LIMIT 1');
  const spoilt = await sold();
  let isLoaded = true;
  const load = (async () => {
    while (isLoaded) await place();
  })();
  const begun = await orders.send('POST', '/internal/read-models/sales/rebuild', { token: orders.admin });
  expect([begun.status, begun.headers.get('location')]).toEqual([202, '/internal/read-models/sales']);
  const answers: number[] = [];
  await eventually(async () => {
    const status = await ask('/internal/read-models/sales');
    answers.push(await sold());
    expect(status).toMatchObject({ state: 'live', rebuilt_at: expect.any(String) });
  });
  isLoaded = false;
  await load;
  // It has answered all the time, with what it was until the moment in which it was another one.
  for (const answer of answers) expect(answer).toBeGreaterThanOrEqual(Math.min(spoilt, expected(300, cancelled)));
  await eventually(async () => expect(await sold()).toBe(expected(placed, cancelled)));
  const before = [await days(), await customers()];

  // Once more, at rest: the same answer to the letter, from the other tables.
  const [first] = await select<{ live: string }>(orders.pool, "SELECT live FROM read_models WHERE name = 'sales'");
  expect((await orders.send('POST', '/internal/read-models/sales/rebuild', { token: orders.admin })).status).toBe(202);
  await eventually(async () => {
    const [row] = await select<{ live: string }>(orders.pool, "SELECT live FROM read_models WHERE name = 'sales'");
    expect(row?.live).not.toBe(first?.live);
  });
  expect([await days(), await customers()]).toEqual(before);
});

test('one that is being built is not built twice, and one whose builder has died is taken over', async () => {
  const set = (untilMs: number) =>
    orders.pool.query("UPDATE read_models SET builder = 'somebody', builder_until = ? WHERE name = 'sales'", [
      new Date(Date.now() + untilMs),
    ]);
  const rebuild = async () =>
    (await orders.send('POST', '/internal/read-models/sales/rebuild', { token: orders.admin })).status;
  await set(60_000);
  expect(await rebuild()).toBe(409);
  expect((await ask('/internal/read-models/sales')).state).toBe('rebuilding');
  await set(-1);
  expect((await ask('/internal/read-models/sales')).state).toBe('rebuild stalled');
  expect(await rebuild()).toBe(202);
  await eventually(async () => expect((await ask('/internal/read-models/sales')).state).toBe('live'));
});

test('it is for administrators, and there is no other one', async () => {
  const statuses = [];
  for (const token of [undefined, orders.customer, orders.admin]) {
    statuses.push(
      (await orders.send('GET', '/internal/read-models/other', token === undefined ? {} : { token })).status,
    );
  }
  expect(statuses).toEqual([401, 403, 404]);
  expect(
    (await orders.send('GET', '/internal/reports/product-days?from=x&to=2026-05-31', { token: orders.admin })).status,
  ).toBe(400);
});
