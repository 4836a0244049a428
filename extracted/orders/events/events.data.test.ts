import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { select } from '@strangler/platform/mysql/statements.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { Ajv2020 } from 'ajv/dist/2020.js';
import ajvFormats from 'ajv-formats';
import { startTestOrders, type TestOrders } from '../testing/orders.ts';

const directory = fileURLToPath(new URL('./schemas/', import.meta.url));

let orders: TestOrders;
beforeAll(async () => {
  orders = await startTestOrders('events');
});
afterAll(() => orders?.stop());

test('each event is as its schema says, to the letter, and is told once', async () => {
  const { admin, customer } = orders;
  await orders.buy({ key: 'shipped' });
  await orders.send('POST', '/api/orders/1/ship', { token: admin });
  await orders.buy({ key: 'cancelled' });
  for (const token of [customer, admin]) await orders.send('POST', '/api/orders/2/cancel', { token });
  await orders.buy({ key: 'declined', cardToken: 'tok_decline' });
  await orders.buy({ key: 'short', quantity: 99_999 });
  await eventually(async () => {
    expect(await select(orders.pool, 'SELECT id FROM sagas WHERE due_at IS NOT NULL')).toEqual([]);
  });
  type Row = { topic: string; key: string; payload: string };
  const rows = await select<Row>(
    orders.pool,
    'SELECT topic, CONVERT(subject_key USING utf8mb4) AS `key`, payload FROM strangler_outbox ORDER BY id',
  );
  const told = rows.map(({ topic, key, payload }) => [topic, key, JSON.parse(payload).data.reason]);
  expect(told).toEqual([
    ['shop.order.placed', '1', undefined],
    ['shop.order.shipped', '1', undefined],
    ['shop.order.placed', '2', undefined],
    ['shop.order.cancelled', '2', 'customer'],
    ['shop.order.placed', '3', undefined],
    ['shop.order.cancelled', '3', 'payment_failed'],
  ]);
  const ajv = new Ajv2020({ allErrors: true });
  ajvFormats.default(ajv);
  for (const [at, { topic, payload }] of rows.entries()) {
    const { schema_version, data } = JSON.parse(payload);
    const file = `${directory}${topic.slice('shop.'.length)}.v${schema_version}.json`;
    const schema = JSON.parse(readFileSync(file, 'utf8'));
    const validate = ajv.compile({ ...schema, $id: `${topic}-${at}`, additionalProperties: false });
    validate(data);
    expect({ topic, errors: validate.errors }).toEqual({ topic, errors: null });
  }
});
