import type { Pool, RowDataPacket } from 'mysql2/promise';

/** Of one product, at rest. */
export type StockFigures = {
  available: number;
  /** Held by reservations that nobody has confirmed, released or let expire. */
  held: number;
  /** In orders that are not cancelled. */
  sold: number;
  /** What storekeepers have put in and taken out, all together. */
  adjusted: number;
  /** What all changes of the stock add up to. */
  deltas: number;
};

export type BrokenEquation = { productId: number; expected: number; found: number; what: 'stock' | 'changes' };

/** Reads the stock at its owner, and the orders at the monolith: with SQL of its own, beside both programs. */
export const readStock = async (
  owner: Pool,
  monolith: Pool,
  { hasReservations }: { hasReservations: boolean },
): Promise<Map<number, StockFigures>> => {
  const sums = async (pool: Pool, sql: string): Promise<Map<number, number>> => {
    const [rows] = await pool.query<RowDataPacket[]>(sql);
    return new Map(rows.map(({ id, sum }) => [Number(id), Number(sum)]));
  };
  const available = await sums(owner, 'SELECT product_id AS id, available AS sum FROM stock_levels');
  const deltas = await sums(
    owner,
    'SELECT product_id AS id, SUM(delta) AS sum FROM stock_adjustments GROUP BY product_id',
  );
  // What an order has moved names it, or is a reservation's; what is left is by hand.
  const adjusted = await sums(
    owner,
    `SELECT product_id AS id, SUM(delta) AS sum FROM stock_adjustments
     WHERE reason IN ('put stock in', 'take stock out') GROUP BY product_id`,
  );
  const held = hasReservations
    ? await sums(
        owner,
        `SELECT l.product_id AS id, SUM(l.quantity) AS sum FROM reservation_lines AS l
         JOIN reservations AS r ON r.id = l.reservation_id WHERE r.state = 'held' GROUP BY l.product_id`,
      )
    : new Map<number, number>();
  const sold = await sums(
    monolith,
    `SELECT i.product_id AS id, SUM(i.quantity) AS sum FROM order_items AS i
     JOIN orders AS o ON o.id = i.order_id WHERE o.status <> 'cancelled' GROUP BY i.product_id`,
  );
  return new Map(
    [...available].map(([id, sum]) => [
      id,
      {
        available: sum,
        held: held.get(id) ?? 0,
        sold: sold.get(id) ?? 0,
        adjusted: adjusted.get(id) ?? 0,
        deltas: deltas.get(id) ?? 0,
      },
    ]),
  );
};

/**
 * What does not add up: available + held + sold must be what it was before, and what was adjusted by hand; and the level must
 * be what all changes add up to.
 */
export const brokenEquations = (
  before: ReadonlyMap<number, StockFigures>,
  now: ReadonlyMap<number, StockFigures>,
): BrokenEquation[] =>
  [...now].flatMap(([productId, figures]): BrokenEquation[] => {
    const whole = ({ available, held, sold, adjusted }: StockFigures): number => available + held + sold - adjusted;
    const none = { available: 0, held: 0, sold: 0, adjusted: 0, deltas: 0 };
    const [expected, found] = [whole(before.get(productId) ?? none), whole(figures)];
    return [
      ...(expected === found ? [] : [{ productId, expected, found, what: 'stock' as const }]),
      ...(figures.available === figures.deltas
        ? []
        : [{ productId, expected: figures.deltas, found: figures.available, what: 'changes' as const }]),
    ];
  });
