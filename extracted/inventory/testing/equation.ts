import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';

/** The stock of one product as the tables tell it, all read in one snapshot. */
export type StockSum = {
  productId: number;
  available: number;
  /** In reservations that are held. */
  reserved: number;
  /** In reservations that are confirmed. */
  sold: number;
  /** What there was at first, and what was changed by hand since. */
  byHand: number;
  /** Given back by orders that no reservation sold. */
  fromElsewhere: number;
  /** Of all adjustments. */
  deltas: number;
};

const sums = `
  SELECT l.product_id AS productId, l.available,
    (SELECT COALESCE(SUM(i.quantity), 0) FROM reservation_lines i JOIN reservations r ON r.id = i.reservation_id
      WHERE i.product_id = l.product_id AND r.state = 'held') AS reserved,
    (SELECT COALESCE(SUM(i.quantity), 0) FROM reservation_lines i JOIN reservations r ON r.id = i.reservation_id
      WHERE i.product_id = l.product_id AND r.state = 'confirmed') AS sold,
    (SELECT COALESCE(SUM(a.delta), 0) FROM stock_adjustments a
      WHERE a.product_id = l.product_id AND a.reason IN ('initial', 'stocktaking')) AS byHand,
    (SELECT COALESCE(SUM(i.quantity), 0) FROM reservation_lines i
      WHERE i.product_id = l.product_id AND i.adjustment_id IS NULL) AS fromElsewhere,
    (SELECT COALESCE(SUM(a.delta), 0) FROM stock_adjustments a WHERE a.product_id = l.product_id) AS deltas
  FROM stock_levels l ORDER BY l.product_id`;

/** Reads the tables, and nothing of the service's code. Safe at any time, while others write. */
export async function readStock(db: Pool): Promise<StockSum[]> {
  const rows = await withTransaction(db, 'REPEATABLE READ', async (connection) => {
    const [found] = await connection.query<RowDataPacket[]>(sums);
    return found;
  });
  return rows.map(
    (row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)])) as StockSum,
  );
}

/** Products whose stock does not add up, each with its figures; none: the equation holds. */
export function faultsOf(stock: readonly StockSum[]): StockSum[] {
  return stock.filter(({ available, reserved, sold, byHand, fromElsewhere, deltas }) => {
    const addsUp = available + reserved + sold === byHand + fromElsewhere;
    return !addsUp || deltas !== available || available < 0;
  });
}
