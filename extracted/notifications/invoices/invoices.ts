import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import { z } from 'zod';
import type { Clock } from '../clock.ts';
import type { SoldItem } from '../events/shop-event.ts';

/** What is known of an order, from its `order.placed`. */
export type ToldOrder = {
  id: number;
  accountId: number;
  totalCents: number;
  currency: string;
  items: SoldItem[];
  placedAt: Date;
};

export type Invoice = { orderId: number; accountId: number; pdf: Buffer };

export type Invoices = {
  find(orderId: number): Promise<Invoice | undefined>;
  order(orderId: number): Promise<ToldOrder | undefined>;
  /** Keeps an invoice; one that is there stays as it is. */
  keep(invoice: Invoice): Promise<void>;
};

const itemsSchema = z.array(z.object({ name: z.string(), unitPriceCents: z.int(), quantity: z.int() }));

export function createInvoices({ pool, clock }: { pool: Pool; clock: Clock }): Invoices {
  return {
    async find(orderId) {
      const sql = 'SELECT account_id, pdf FROM invoices WHERE order_id = ?';
      const [row] = await select<{ account_id: number; pdf: Buffer }>(pool, sql, [orderId]);
      return row && { orderId, accountId: row.account_id, pdf: row.pdf };
    },
    async order(orderId) {
      const [row] = await select<{
        account_id: number;
        total_cents: number;
        currency: string;
        items: string;
        placed_at: Date;
      }>(pool, 'SELECT account_id, total_cents, currency, items, placed_at FROM told_orders WHERE id = ?', [orderId]);
      return (
        row && {
          id: orderId,
          accountId: row.account_id,
          totalCents: row.total_cents,
          currency: row.currency,
          items: itemsSchema.parse(JSON.parse(row.items)),
          placedAt: row.placed_at,
        }
      );
    },
    async keep({ orderId, accountId, pdf }) {
      await change(
        pool,
        'INSERT INTO invoices (order_id, account_id, pdf, created_at) VALUES (?, ?, ?, ?) ON DUPLICATE KEY UPDATE order_id = order_id',
        [orderId, accountId, pdf, clock.now()],
      );
    },
  };
}

/** Keeps what `order.placed` says; said again, it changes nothing. */
export async function tellOrder(transaction: Executor, order: ToldOrder): Promise<void> {
  await change(
    transaction,
    `INSERT INTO told_orders (id, account_id, total_cents, currency, items, placed_at) VALUES (?, ?, ?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE id = id`,
    [order.id, order.accountId, order.totalCents, order.currency, JSON.stringify(order.items), order.placedAt],
  );
}
