import type { ApiOperation, JsonSchema } from '@strangler/migrations/openapi/operation.ts';
import { readApiDescription } from '@strangler/migrations/openapi/read-description.ts';
import { rulesOfSlice } from '@strangler/migrations/parity/rules-of-slice.ts';
import { openApiDocument } from '@strangler/monolith/openapi/document.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { copy, type OrderSides, startOrderSides } from '../../seams/order-sides.fixture.ts';
import { type SameRows, sameRows } from './same-rows.ts';
import { createClosers, operationsOf, readSlice, type SlicePair } from './slice-pair.ts';
import { createTwinBook, type TwinBook, type TwinSideOptions, twinSide } from './twins.ts';

const customers = ['customer', 'other'] as const;

/** What the provider makes of it is known at once; a card of which nobody knows for a while is not for a fuzzer's patience. */
const cards = ['tok_visa', 'tok_visa', 'tok_visa', 'tok_decline', 'tok_insufficient_funds'];

/** How long what is done behind an answer may take; and money, which is the provider's to give back. */
const behindMs = 5_000;
const moneyMs = 15_000;

/**
 * The orders at the shop and at their service, which takes carts from the shop, stock from the inventory and money through the
 * payments, all of them real. Carts are one customer's, so each role is two twins, one of whom buys at the shop and the other at
 * the service; both fill their carts at the shop.
 */
export async function startOrdersPair(label: string): Promise<SlicePair> {
  const slice = await readSlice('orders');
  const closers = createClosers();
  try {
    const sides = await startOrderSides(label);
    closers.add(() => sides.stop());
    const orders = await sides.start();
    const open = (url: string): Pool => {
      const pool = createPool(url, { connectionLimit: 1 });
      closers.add(() => pool.end());
      return pool;
    };
    const pools: Pools = {
      shop: open(sides.shop.databaseUrl),
      orders: open(sides.database.url),
      inventory: open(sides.inventory.database.url),
      payments: open(sides.payments.database.url),
    };
    const stock = await goods(sides);
    const book = createTwinBook();
    // An administrator too has a cart of the own.
    const admin = async () => {
      const account = await sides.shop.account('admin', 'A twin');
      await copy(sides.shop, sides.db, 'accounts', 'id, email, display_name', account.id);
      return account;
    };
    book.set('admin', [await admin(), await admin()]);
    const side = (at: 0 | 1, name: string, url: string) =>
      twinSide({ name, at, url, elsewhere: { prefix: '/api/cart', url: sides.shop.url }, book, settled: moneyIsBack });
    const both = [side(0, 'monolith', sides.shop.url), side(1, 'orders', orders.server.url)] as const;
    for (const one of both) closers.add(() => one.close());
    return {
      slice: 'orders',
      running: {
        operations: await operationsWithCarts(slice),
        sides: both,
        // Each is what it stands for until it is sent.
        tokens: { customer: 'customer', other: 'other', admin: 'admin' },
        rules: rulesOfSlice(betweenTwins(slice)),
        observer: sameRows(questions(pools), behindMs),
        slowerByMs: null,
        known: { '/api/cart/items': [...stock.keys()] },
        refused: new Map(),
        reset: () => beginAnew({ sides, pools, stock, book }),
      },
      addresses: null,
      spoil: async () =>
        void (await pools.inventory.query('UPDATE stock_levels SET available = available + 1 LIMIT 1')),
      stop: () => closers.close(),
    };
  } catch (error) {
    await closers.close();
    throw error;
  }
}

type Pools = Record<'shop' | 'orders' | 'inventory' | 'payments', Pool>;

/** Some to sell, one that is scarce, one in another currency, one that is not sold any more; what there is of each. */
async function goods(sides: OrderSides): Promise<Map<number, number>> {
  const stock = new Map<number, number>();
  const add = async (fields: { stock: number; priceCents: number; currency?: string }): Promise<number> => {
    const id = await sides.product(fields);
    stock.set(id, fields.stock);
    return id;
  };
  const withdrawn = await add({ stock: 5, priceCents: 700 });
  await add({ stock: 50, priceCents: 900, currency: 'USD' });
  await add({ stock: 3, priceCents: 250 });
  for (const priceCents of [1, 300, 12_345]) await add({ stock: 50, priceCents });
  await sides.shop.deps.models.Product.update({ active: false }, { where: { id: withdrawn } });
  const columns = 'id, sku, name, category_id, price_cents, currency, active, archived_at';
  await copy(sides.shop, sides.db, 'products', columns, withdrawn);
  return stock;
}

/** The same on both sides again: no orders, all of the stock, and customers of whom nobody has heard. */
async function beginAnew({
  sides,
  pools,
  stock,
  book,
}: {
  sides: OrderSides;
  pools: Pools;
  stock: ReadonlyMap<number, number>;
  book: TwinBook;
}): Promise<void> {
  await eventually(() => nothingIsUnderWay(pools), { withinMs: 60_000 });
  await emptied(pools.shop, ['order_items', 'payments', 'orders', 'idempotency_keys', 'strangler_outbox']);
  await emptied(pools.orders, [
    ...['order_items', 'orders', 'order_events', 'order_snapshots', 'saga_steps', 'sagas'],
    ...['idempotency_keys', 'strangler_outbox'],
  ]);
  await emptied(pools.payments, ['refunds', 'payment_history', 'payments']);
  for (const pool of [pools.shop, pools.inventory])
    for (const [id, available] of stock)
      await pool.query('UPDATE stock_levels SET available = ? WHERE product_id = ?', [available, id]);
  for (const role of customers) book.set(role, [await sides.customer('A twin'), await sides.customer('A twin')]);
}

async function emptied(pool: Pool, tables: readonly string[]): Promise<void> {
  await pool.query('SET SESSION foreign_key_checks = 0');
  for (const table of tables) await pool.query('DELETE FROM ??', [table]);
  await pool.query('SET SESSION foreign_key_checks = 1');
}

async function nothingIsUnderWay(pools: Pools): Promise<boolean> {
  const open = async (pool: Pool, sql: string): Promise<number> => {
    const [[row]] = await pool.query<RowDataPacket[]>(sql);
    return Number(row?.n);
  };
  const left = await Promise.all([
    open(pools.orders, 'SELECT COUNT(*) AS n FROM sagas WHERE due_at IS NOT NULL'),
    open(pools.inventory, "SELECT COUNT(*) AS n FROM reservations WHERE state = 'held'"),
    open(pools.shop, "SELECT COUNT(*) AS n FROM payments WHERE status IN ('pending', 'cancelling', 'refunding')"),
    open(pools.payments, "SELECT COUNT(*) AS n FROM payments WHERE status IN ('pending', 'cancelling', 'refunding')"),
  ]);
  return left.every((count) => count === 0);
}

/** In the order in which they were made: ids are each side's own. */
function questions({ shop, orders, inventory, payments }: Pools): SameRows[] {
  const both = (name: string, sql: string, right: Pool): SameRows => {
    return { name, left: { pool: shop, sql }, right: { pool: right, sql } };
  };
  return [
    both('orders', 'SELECT status, total_cents, currency, cancel_reason, version FROM orders ORDER BY id', orders),
    both(
      'order_items',
      'SELECT product_id, name, unit_price_cents, quantity FROM order_items ORDER BY order_id, product_id',
      orders,
    ),
    both('payments', 'SELECT amount_cents, currency, status, failure_code FROM payments ORDER BY order_id', payments),
    both('stock_levels', 'SELECT product_id, available FROM stock_levels ORDER BY product_id', inventory),
    both(
      'told',
      `SELECT JSON_UNQUOTE(JSON_EXTRACT(payload, '$.type')) AS type, COUNT(*) AS times FROM strangler_outbox
       WHERE kind = 'event' AND JSON_UNQUOTE(JSON_EXTRACT(payload, '$.type')) LIKE 'order.%' GROUP BY 1 ORDER BY 1`,
      orders,
    ),
  ];
}

/** Paid back behind the answer, by whichever side; what is asked next is to find it done on both. */
const moneyIsBack: TwinSideOptions['settled'] = async ({ method, path }, answer, ask) => {
  const [, id] = /^\/api\/orders\/(\d+)\/cancel$/.exec(path) ?? [];
  if (method !== 'POST' || id === undefined || answer.status !== 200) return;
  await eventually(
    async () => {
      const { payment } = (await ask(`/api/orders/${id}`)).json as { payment?: { status: string } | null };
      return payment === null || payment === undefined || !/^(pending|cancelling|refunding)$/.test(payment.status);
    },
    { withinMs: moneyMs },
  );
};

/** Two customers at two moments: what differs for that reason, beside what the slice file says. */
function betweenTwins(slice: Slice): Slice {
  const because = (path: string, reason: string, route: string | null = null) => {
    return { path, route, reason, by: 'the comparison of twins' };
  };
  return {
    ...slice,
    compare: {
      ...slice.compare,
      identities: [
        ...slice.compare.identities,
        ...['$.id', '$.order.id', '$.payment.id', '$.order.payment.id', '$.items[*].id', '$.items[*].payment.id'],
        ...['$.payment.order_id', '$.order_id', '$.items[*].payment.order_id'],
      ],
      ignore: [
        ...slice.compare.ignore,
        because('$..created_at', 'they buy at two moments'),
        because('$..updated_at', 'they buy at two moments'),
        because('header etag', 'a digest of ids and times'),
        because('$.next_cursor', 'it holds an id', 'GET /api/orders'),
        because(
          '$.payment',
          'the money goes back behind the answer; what is read next is compared',
          'POST /api/orders/:id/cancel',
        ),
        because('$.detail', 'it names an order', 'POST /api/checkout'),
        because('$.detail', 'it names an order', 'POST /api/orders/:id/cancel'),
        because('$.detail', 'it names an order', 'POST /api/orders/:id/ship'),
        because('$.detail', 'it names an order', 'GET /api/orders/:id'),
      ],
    },
  };
}

/** The slice's own operations but for those that the shop has none of, and the shop's carts. */
async function operationsWithCarts(slice: Slice): Promise<ApiOperation[]> {
  const shops = readApiDescription(JSON.stringify(openApiDocument()), 'the shop');
  const carts = shops.filter(({ path }) => path.startsWith('/api/cart'));
  const own = (await operationsOf(slice)).filter(({ path }) => path !== '/api/checkouts/{id}');
  // Without buying there is nothing to tell of: it is tried more often than anything else.
  const buying = [...own, ...carts].filter(({ method, path }) =>
    /^(PUT \/api\/cart\/items|POST \/api\/checkout)/.test(`${method} ${path}`),
  );
  return [...own, ...carts, ...buying, ...buying].map((operation) => {
    // Whose orders an administrator asks for is an id of one side; not to wait is what only the service can.
    const parameters = operation.parameters.filter(({ name }) => !['account_id', 'Prefer'].includes(name));
    return {
      ...operation,
      parameters,
      bodies: operation.bodies.map((body) => ({ ...body, schema: tried(body.schema) })),
    };
  });
}

/** Cards that the provider knows, few pieces, and no total: it would hardly ever be the right one. */
function tried(schema: JsonSchema): JsonSchema {
  const { expected_total_cents: _, ...properties } = schema.properties ?? {};
  return {
    ...schema,
    properties: {
      ...properties,
      ...(properties.card_token === undefined ? {} : { card_token: { type: 'string', enum: cards } }),
      ...(properties.quantity === undefined ? {} : { quantity: { ...properties.quantity, maximum: 4 } }),
    },
  };
}
