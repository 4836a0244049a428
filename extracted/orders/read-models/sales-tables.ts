import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import { type Counted, changeOf, type SalesEvent } from './sales-model.ts';

/** One of the two sets of tables. */
export type Side = 'a' | 'b';

export const otherSide = (side: Side): Side => (side === 'a' ? 'b' : 'a');

export type ModelRow = {
  live: Side;
  positionA: number;
  positionB: number;
  builder: string | null;
  builderUntil: Date | null;
  isClosing: number;
  rebuiltAt: Date | null;
};

const columns = `live, position_a AS positionA, position_b AS positionB, builder, builder_until AS builderUntil,
  is_closing AS isClosing, rebuilt_at AS rebuiltAt`;

/** The offset up to which a set has heard everything; -1 before the first. */
export function positionOf(row: ModelRow, side: Side): number {
  return side === 'a' ? row.positionA : row.positionB;
}

export async function readModel(db: Executor, name: string, { lock = false } = {}): Promise<ModelRow> {
  const sql = `SELECT ${columns} FROM read_models WHERE name = ?${lock ? ' FOR UPDATE' : ''}`;
  const [row] = await select<ModelRow>(db, sql, [name]);
  if (row === undefined) throw new Error(`there is no read model ${name}`);
  return row;
}

/** Counts an event in a set of tables; one that was counted before changes nothing. */
export async function countSale(transaction: Executor, side: Side, event: SalesEvent): Promise<void> {
  const { order_id } = event.data;
  const sql = `SELECT day, state FROM sales_orders_${side} WHERE order_id = ?`;
  const [known] = await select<Counted>(transaction, sql, [order_id]);
  const found = changeOf(known, event);
  if (found === undefined) return;
  const { counted, accountId, currency, placed, cancelled, totalCents, products } = found;
  await change(
    transaction,
    `INSERT INTO sales_orders_${side} (order_id, day, state) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE state = VALUES(state)`,
    [order_id, counted.day, counted.state],
  );
  await change(
    transaction,
    `INSERT INTO sales_customers_${side} (account_id, currency, placed, cancelled, total_cents) VALUES (?, ?, ?, ?, ?)
     ON DUPLICATE KEY UPDATE placed = placed + VALUES(placed), cancelled = cancelled + VALUES(cancelled),
       total_cents = total_cents + VALUES(total_cents)`,
    [accountId, currency, placed, cancelled, totalCents],
  );
  if (products.length === 0) return;
  await change(
    transaction,
    `INSERT INTO sales_days_${side} (day, product_id, currency, quantity, total_cents) VALUES ?
     ON DUPLICATE KEY UPDATE quantity = quantity + VALUES(quantity), total_cents = total_cents + VALUES(total_cents)`,
    [products.map((each) => [counted.day, each.productId, currency, each.quantity, each.totalCents])],
  );
}

export async function writePosition(transaction: Executor, name: string, side: Side, offset: number): Promise<void> {
  await change(transaction, `UPDATE read_models SET position_${side} = ? WHERE name = ?`, [offset, name]);
}

/** Makes a set of tables empty, for another beginning. */
export async function emptyTables(transaction: Executor, name: string, side: Side): Promise<void> {
  for (const table of ['orders', 'customers', 'days']) await change(transaction, `DELETE FROM sales_${table}_${side}`);
  await writePosition(transaction, name, side, -1);
}
