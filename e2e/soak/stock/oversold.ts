import type { StockFigures } from '../../demo/inventory/stock-equation.ts';

/**
 * The products of which more is sold or held than there ever was to sell. `before` and `now` are at rest; what is not in `before` had no
 * stock.
 */
export const oversoldProducts = (
  before: ReadonlyMap<number, StockFigures>,
  now: ReadonlyMap<number, StockFigures>,
): number[] =>
  [...now].flatMap(([productId, { sold, held, adjusted, available }]) => {
    const first = before.get(productId);
    const couldBeSold =
      (first?.available ?? 0) + (first?.held ?? 0) + (first?.sold ?? 0) + adjusted - (first?.adjusted ?? 0);
    return sold + held > couldBeSold || available < 0 ? [productId] : [];
  });
