import { type Executor, select } from '@strangler/platform/mysql/statements.ts';
import type { Products, TodaysProduct } from '../neighbours/products.ts';
import type { OrderStatus, SoldLine } from '../order/order-event.ts';

export type OrderFilter = {
  /** Orders of this account only; undefined: of all. */
  accountId: number | undefined;
  status: OrderStatus | undefined;
};

type Line = SoldLine & { order_id: number };

type Row = {
  id: number;
  status: OrderStatus;
  total_cents: number;
  currency: string;
  cancel_reason: string | null;
  version: number;
  created_at: Date;
  updated_at: Date;
  customer_id: number | null;
  display_name: string;
  email: string;
};

type PaymentRow = {
  id: number;
  order_id: number;
  status: string;
  amount_cents: number;
  currency: string;
  failure_code: string | null;
  created_at: Date;
  updated_at: Date;
};

/** An order with its payment, its customer and its lines. */
export type FoundOrder = { row: Row; payment: PaymentRow | undefined; lines: Line[] };
/** And the products of its lines as they are today. */
export type OrderInFull = FoundOrder & { products: ReadonlyMap<number, TodaysProduct> };

/** Reads orders as the API shows them, in a number of statements that does not grow with the number of orders. */
export type OrderReader = {
  /** Orders from below `beforeId` on, newest first. */
  list(filter: OrderFilter, page: { limit: number; beforeId: number | undefined }): Promise<FoundOrder[]>;
  /** `accountId`: only an order of this account is found; undefined: any. */
  find(orderId: number, accountId: number | undefined): Promise<OrderInFull | undefined>;
};

const head = `SELECT o.id, o.status, o.total_cents, o.currency, o.cancel_reason, o.version, o.created_at, o.updated_at,
    a.id AS customer_id, a.display_name, a.email
  FROM orders o LEFT JOIN accounts a ON a.id = o.account_id`;
const ofPayment = 'id, order_id, status, amount_cents, currency, failure_code, created_at, updated_at';

export function createOrderReader({ db, products }: { db: Executor; products: Products }): OrderReader {
  const withParts = async (rows: Row[]): Promise<FoundOrder[]> => {
    if (rows.length === 0) return [];
    const ids = rows.map(({ id }) => id);
    const lines = await select<Line>(
      db,
      `SELECT order_id, product_id, name, unit_price_cents, quantity FROM order_items
        WHERE order_id IN (?) ORDER BY order_id, product_id`,
      [ids],
    );
    // What the payments themselves have said stands behind the pipe's copy unless that is newer.
    const payments = await select<PaymentRow>(
      db,
      `SELECT ${ofPayment}, 0 AS own FROM payments WHERE order_id IN (?)
       UNION ALL SELECT ${ofPayment}, 1 AS own FROM payment_news WHERE order_id IN (?) ORDER BY updated_at, own`,
      [ids, ids],
    );
    const newest = new Map(payments.map((payment) => [payment.order_id, payment]));
    return rows.map((row) => ({
      ...{ row, payment: newest.get(row.id) },
      lines: lines.filter((line) => line.order_id === row.id),
    }));
  };

  return {
    async list({ accountId, status }, { limit, beforeId }) {
      const conditions = [
        ...(accountId === undefined ? [] : [{ sql: 'o.account_id = ?', value: accountId }]),
        ...(status === undefined ? [] : [{ sql: 'o.status = ?', value: status }]),
        ...(beforeId === undefined ? [] : [{ sql: 'o.id < ?', value: beforeId }]),
      ];
      const where = conditions.length === 0 ? '' : ` WHERE ${conditions.map(({ sql }) => sql).join(' AND ')}`;
      const values = [...conditions.map(({ value }) => value), limit];
      return withParts(await select<Row>(db, `${head}${where} ORDER BY o.id DESC LIMIT ?`, values));
    },
    async find(orderId, accountId) {
      const own = accountId === undefined ? '' : ' AND o.account_id = ?';
      const values = accountId === undefined ? [orderId] : [orderId, accountId];
      const [found] = await withParts(await select<Row>(db, `${head} WHERE o.id = ?${own}`, values));
      if (found === undefined) return undefined;
      return { ...found, products: await products.byIds(found.lines.map(({ product_id }) => product_id)) };
    },
  };
}

/** An order as lists show it. */
export function orderSummaryJson(order: FoundOrder) {
  return { ...orderHeadJson(order), items: order.lines.map(lineJson) };
}

/** An order with all that belongs to it. `product` of a line is the product as it is today. */
export function orderDetailJson(order: OrderInFull) {
  const items = order.lines.map((line) => {
    return { ...lineJson(line), product: order.products.get(line.product_id) ?? null };
  });
  return { ...orderHeadJson(order), items };
}

function lineJson({ product_id, name, unit_price_cents, quantity }: Line) {
  return { product_id, name, unit_price_cents, quantity, line_total_cents: unit_price_cents * quantity };
}

function orderHeadJson({ row, payment }: FoundOrder) {
  const { id, status, total_cents, currency, cancel_reason, customer_id, display_name, email, version } = row;
  return {
    ...{ id, status, total_cents, currency, cancel_reason },
    customer: customer_id === null ? null : { id: customer_id, display_name, email },
    payment: payment === undefined ? null : paymentJson(payment),
    version,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

function paymentJson({ id, order_id, status, amount_cents, currency, failure_code, ...times }: PaymentRow) {
  const created_at = times.created_at.toISOString();
  const updated_at = times.updated_at.toISOString();
  return { id, order_id, status, amount_cents, currency, failure_code, created_at, updated_at };
}
