import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { TestAccount } from '@strangler/monolith/testing/shop.ts';
import { sender } from '@strangler/payments/testing/payments.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually, freePort } from '@strangler/platform/testing/servers.ts';
import { type OrderSides, startOrderSides } from './order-sides.fixture.ts';

const main = fileURLToPath(new URL('../../extracted/orders/main.ts', import.meta.url));
const initial = 500;

let sides: OrderSides;
let product: number;
const children: ChildProcess[] = [];

const timings = {
  ...{ INVENTORY_TIMEOUT: '3s', PAYMENTS_TIMEOUT: '4s', SAGA_LEASE: '5s', CARD_KEPT: '5s', CHARGE_GRACE: '6s' },
  ...{ CHECKOUT_WAIT: '4s', CANCEL_WAIT: '4s', IDEMPOTENCY_LEASE: '4500ms' },
};

beforeAll(async () => {
  sides = await startOrderSides('kill');
  product = await sides.product({ stock: initial, priceCents: 700 });
});
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await sides?.stop();
});

/** The orders as a process of their own. */
async function startProcess(
  env: NodeJS.ProcessEnv,
): Promise<{ url: string; child: ChildProcess; exited: Promise<unknown> }> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(process.execPath, [main], {
    env: { ...programEnvironment(), ...sides.env({ ...timings, PORT: `${port}`, LOG_LEVEL: 'silent', ...env }) },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  children.push(child);
  const exited = once(child, 'exit');
  await eventually(async () => (await fetch(`${url}/health/ready`)).ok, { withinMs: 60_000 });
  return { url, child, exited };
}

type Death = { at: string; does: 'buys' | 'cancels'; card?: string; comesBack: boolean };

const buying = ['reserve', 'take cart', 'place order', 'charge', 'confirm stock', 'pay order'];
const deaths: Death[] = [
  ...buying.map((step): Death => ({ at: `after ${step}`, does: 'buys', comesBack: false })),
  ...buying.map((step): Death => ({ at: `before ${step}`, does: 'buys', comesBack: step !== 'charge' })),
  { at: 'before charge', does: 'buys', comesBack: true },
  { at: 'after charge', does: 'buys', comesBack: true, card: 'tok_timeout' },
  ...['cancel order', 'release stock'].map((step): Death => {
    return { at: `after ${step}`, does: 'buys', card: 'tok_decline', comesBack: true };
  }),
  { at: 'before cancel order', does: 'buys', card: 'tok_decline', comesBack: false },
  ...['give back stock', 'cancel payment'].map(
    (step): Death => ({ at: `after ${step}`, does: 'cancels', comesBack: false }),
  ),
  { at: 'before give back stock', does: 'cancels', comesBack: false },
];

type Fate = Death & { buyer: TestAccount; key: string; sold: number };

/** Lets a process of its own die in the midst of what one customer does. */
async function die(death: Death, well: string): Promise<Fate> {
  const buyer = await sides.customer();
  await sides.commerce.fill(buyer, { [product]: 1 });
  const key = randomUUID();
  const fate: Fate = { ...death, buyer, key, sold: 1 };
  let orderId = 0;
  if (death.does === 'cancels') orderId = (await boughtAtLast(well, buyer)).id;
  // It looks after nothing but its own customer, so that it dies of that.
  // And it keeps the card for as long as a busy machine takes to come there.
  const patient = { CARD_KEPT: '60s', CHARGE_GRACE: '61s' };
  const doomed = await startProcess({ KILL_AT: death.at, SAGA_EVERY: '1h', ...patient });
  const answer: Promise<unknown> =
    death.does === 'buys'
      ? sides.checkOut(doomed.url, buyer, { key, ...(death.card === undefined ? {} : { cardToken: death.card }) })
      : sender(doomed.url)('POST', `/api/orders/${orderId}/cancel`, { token: buyer.token });
  await answer.catch(() => {});
  const [, signal] = (await doomed.exited) as [number | null, string | null];
  expect({ at: death.at, signal }).toEqual({ at: death.at, signal: 'SIGKILL' });
  return fate;
}

/** The order of a customer who sends the same again for as long as the sale takes on a busy machine. */
async function boughtAtLast(url: string, buyer: TestAccount): Promise<{ id: number }> {
  const key = randomUUID();
  return eventually(
    async () => {
      const { status, text, body } = await sides.checkOut(url, buyer, { key });
      if (status !== 201) throw new Error(text);
      return body.order;
    },
    { withinMs: 90_000 },
  );
}

/**
 * Of a customer who sends the same again until there is an answer, and looks where that is that it takes long. Looking is not enough: nobody
 * here goes on with a step that was not answered in time, but for the customer who brings the card again.
 */
async function statusAtLast(url: string, { buyer, key, card }: Fate): Promise<number> {
  const answered = async () => {
    const found = await sides.checkOut(url, buyer, { key, ...(card === undefined ? {} : { cardToken: card }) });
    if (found.status >= 500 || found.body?.title === 'Checkout still running') throw new Error(found.text);
    if (found.status !== 202) return found.status;
    const { body } = await sender(url)('GET', found.headers.get('location') ?? '', { token: buyer.token });
    expect(body.status).toBe('decided');
    return body.answer.status;
  };
  return eventually(answered, { withinMs: 90_000 });
}

/** Every book that there is of it, each read where it is kept. */
async function books() {
  type Order = { id: number; account_id: number; status: string; total: number; quantity: number };
  const orders = await select<Order>(
    sides.db,
    `SELECT o.id, o.account_id, o.status, o.total_cents AS total, SUM(i.quantity) AS quantity
       FROM orders o JOIN order_items i ON i.order_id = o.id GROUP BY o.id ORDER BY o.id`,
  );
  type Paid = { order_id: number; reference: string; status: string; amount_cents: number };
  const payments = await select<Paid>(
    sides.payments.pool,
    'SELECT order_id, reference, status, amount_cents FROM payments ORDER BY order_id',
  );
  let captured = 0;
  let returned = 0;
  for (const { reference } of payments) {
    const charges = (await sides.payments.provider.charges(reference)).filter(({ status }) => status === 'succeeded');
    expect(charges.length).toBeLessThanOrEqual(1);
    for (const charge of charges) {
      captured += charge.amount_cents;
      returned += charge.refunded_cents;
    }
  }
  const [stock] = await select<{ available: number; held: number; sold: number }>(
    sides.inventory.db,
    `SELECT (SELECT available FROM stock_levels WHERE product_id = ?) AS available,
        COALESCE(SUM(IF(r.state = 'held', l.quantity, 0)), 0) AS held,
        COALESCE(SUM(IF(r.state = 'confirmed', l.quantity, 0)), 0) AS sold
       FROM reservations r JOIN reservation_lines l ON l.reservation_id = r.id`,
    [product],
  );
  return { orders, payments, captured, returned, stock: stock! };
}

test('whatever step a process is killed at, every cent is an order’s, every piece is somewhere, and every order has an end', async () => {
  const well = await startProcess({ SAGA_EVERY: '1h' });
  const waiting = [...deaths];
  const fates: Fate[] = [];
  await Promise.all(
    Array.from({ length: 3 }, async () => {
      for (let death = waiting.shift(); death !== undefined; death = waiting.shift())
        fates.push(await die(death, well.url));
    }),
  );
  well.child.kill('SIGKILL');

  // Customers come back to one that looks after nobody else; what is left after that, two others share.
  const first = await startProcess({ SAGA_EVERY: '1h' });
  const back = fates.filter(({ comesBack }) => comesBack);
  const statuses = await Promise.all(back.map((fate) => statusAtLast(first.url, fate)));
  const seen = back.map(({ at, card }, n) => ({ at, card, status: statuses[n] }));
  expect(seen).toEqual(back.map(({ at, card }) => ({ at, card, status: card === 'tok_decline' ? 402 : 201 })));
  await Promise.all([startProcess({ SAGA_EVERY: '100ms' }), startProcess({ SAGA_EVERY: '100ms' })]);
  await eventually(
    async () => {
      const open = await select(sides.db, 'SELECT id, state, due_at FROM sagas WHERE due_at IS NOT NULL');
      expect(open).toEqual([]);
    },
    { withinMs: 90_000 },
  );

  const { orders, payments, captured, returned, stock } = await books();
  const sums = { paid: 0, pieces: 0 };
  for (const { id, status, total, quantity } of orders) {
    expect(['paid', 'cancelled']).toContain(status);
    const payment = payments.find(({ order_id }) => order_id === id);
    if (status === 'paid') {
      expect(payment).toMatchObject({ status: 'settled', amount_cents: total });
      sums.paid += Number(total);
      sums.pieces += Number(quantity);
    } else {
      expect(['failed', 'refunded', undefined]).toContain(payment?.status);
    }
  }
  expect(payments.filter(({ order_id }) => !orders.some(({ id }) => id === order_id))).toEqual([]);
  expect({ left: captured - returned }).toEqual({ left: sums.paid });
  expect({ held: Number(stock.held), sold: Number(stock.sold) }).toEqual({ held: 0, sold: sums.pieces });
  expect(Number(stock.available) + Number(stock.sold)).toBe(initial);
  // The run had all of it.
  expect(returned).toBeGreaterThan(0);
  expect(sums.paid).toBeGreaterThan(0);

  // A customer has an order and an empty cart, or a cart as it was: where the card died before there was an order.
  for (const { at, does, buyer, comesBack, card } of fates) {
    const own = orders.filter(({ account_id }) => account_id === buyer.id);
    const inCart = (await buyer.client.get('/api/cart')).body.items.length;
    const isLost = !comesBack && ['after reserve', 'after take cart', 'after place order'].includes(at);
    expect({ at, orders: own.length, inCart }).toEqual({ at, orders: isLost ? 0 : 1, inCart: isLost ? 1 : 0 });
    const isCancelled = does === 'cancels' || card === 'tok_decline' || (at === 'before charge' && !comesBack);
    const status = isLost ? undefined : isCancelled ? 'cancelled' : 'paid';
    expect({ at, status: own[0]?.status }).toEqual({ at, status });
  }

  // Each was told once.
  const told = await select<{ topic: string; n: number }>(
    sides.db,
    "SELECT topic, COUNT(*) AS n FROM strangler_outbox WHERE topic LIKE 'shop.order.%' GROUP BY topic, subject_key",
  );
  expect(told.filter(({ n }) => n !== 1)).toEqual([]);
  expect(told.filter(({ topic }) => topic === 'shop.order.placed')).toHaveLength(orders.length);
  expect(told.filter(({ topic }) => topic === 'shop.order.cancelled')).toHaveLength(
    orders.filter(({ status }) => status === 'cancelled').length,
  );
  // And no card's token stands anywhere in the database.
  for (const [table, column] of [
    ['sagas', 'state'],
    ['saga_steps', 'happened'],
    ['idempotency_keys', 'answer_body'],
  ]) {
    expect(await select(sides.db, `SELECT 1 FROM ${table} WHERE ${column} LIKE '%tok_%'`)).toEqual([]);
  }
}, 300_000);
