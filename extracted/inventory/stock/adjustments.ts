import { ifMatchMatches } from '@strangler/platform/http/entity-tag.ts';
import { Problem, problems } from '@strangler/platform/http/problem.ts';
import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import type { Clock } from '../clock.ts';
import type { Fenced } from '../fenced.ts';
import { presentProducts } from '../products/present-products.ts';
import type { Transactions } from '../transactions.ts';
import { LevelHasChanged, type StockLedger } from './stock-ledger.ts';
import {
  type LevelRow,
  levelColumns,
  mostAvailable,
  type StockView,
  stockRepresentation,
  viewOf,
} from './stock-view.ts';

/** A row of `stock_adjustments` as the driver gives it. */
export type AdjustmentRow = {
  id: number | string;
  product_id: number | string;
  delta: number;
  reason: string;
  account_id: number | string | null;
  order_id: number | string | null;
  created_at: Date;
};

export type AdjustRequest = {
  productId: number;
  delta: number;
  reason: string;
  accountId: number;
  /** Only the stock that has this entity tag is changed. */
  ifMatch: string | undefined;
};

export type Adjustments = {
  /**
   * Changes a stock level by hand, making its row where the product has none yet. Throws a 404, 409 or 412 problem where
   * that cannot be.
   */
  adjust(request: AdjustRequest): Promise<{ adjustment: AdjustmentRow; stock: StockView }>;
  /** The changes of a product's level with ids below `before`, newest first. */
  list(productId: number, page: { before: number | undefined; limit: number }): Promise<AdjustmentRow[]>;
};

type Outcome =
  | { kind: 'adjusted'; adjustment: AdjustmentRow; stock: StockView }
  | { kind: 'refused'; problem: Problem };

export function createAdjustments({
  pool,
  transactions,
  ledger,
  fenced,
  clock,
}: {
  pool: Executor;
  transactions: Transactions;
  ledger: StockLedger;
  fenced: Fenced;
  clock: Clock;
}): Adjustments {
  const once = async (
    { productId, delta, reason, accountId, ifMatch }: AdjustRequest,
    tx: Executor,
  ): Promise<Outcome> => {
    if (!(await presentProducts(tx, [productId])).has(productId)) return refused(noSuchProduct(productId));
    const level = await openLevel(productId, { locked: ifMatch === undefined || ifMatch.trim() === '*' }, tx);
    if (ifMatch !== undefined && !ifMatchMatches(ifMatch, stockRepresentation(level).entityTag)) {
      return refused(changedMeanwhile(productId));
    }
    if (level.available + delta < 0) return refused(belowZero(level, delta));
    if (level.available + delta > mostAvailable) {
      return refused(problems.conflict(`The stock of a product may not go above ${mostAvailable}.`));
    }
    const now = clock.now();
    const { adjustmentId, stock } = await ledger.move(level, { delta, reason, accountId, orderId: null }, now, tx);
    const row = { id: adjustmentId, product_id: productId, delta, reason, account_id: accountId };
    return { kind: 'adjusted', adjustment: { ...row, order_id: null, created_at: now }, stock };
  };

  /** The level as it is, made where there is none. That it was made stays, even where the change is refused: so it is in the shop. */
  const openLevel = async (productId: number, { locked }: { locked: boolean }, tx: Executor): Promise<StockView> => {
    const sql = `SELECT ${levelColumns} FROM stock_levels WHERE product_id = ?${locked ? ' FOR UPDATE' : ''}`;
    const [found] = await select<LevelRow>(tx, sql, [productId]);
    if (found !== undefined) return viewOf(productId, found);
    await change(
      tx,
      `INSERT INTO stock_levels (product_id, available, version, updated_at) VALUES (?, 0, 1, ?)
       ON DUPLICATE KEY UPDATE product_id = product_id`,
      [productId, clock.now()],
    );
    const [made] = await select<LevelRow>(tx, sql, [productId]);
    return viewOf(productId, made);
  };

  return {
    adjust: (request) =>
      // What is refused is thrown within the fence: behind a closed one it may be wrong.
      fenced(async () => {
        const outcome = await transactions
          .run((tx) => once(request, tx))
          .catch((error: unknown): Outcome => {
            if (error instanceof LevelHasChanged) return refused(changedMeanwhile(request.productId));
            throw error;
          });
        if (outcome.kind === 'refused') throw outcome.problem;
        return outcome;
      }),
    list: (productId, { before, limit }) =>
      select<AdjustmentRow>(
        pool,
        `SELECT id, product_id, delta, reason, account_id, order_id, created_at FROM stock_adjustments
          WHERE product_id = ?${before === undefined ? '' : ' AND id < ?'} ORDER BY id DESC LIMIT ?`,
        [productId, ...(before === undefined ? [] : [before]), limit],
      ),
  };
}

function refused(problem: Problem): Outcome {
  return { kind: 'refused', problem };
}

export function noSuchProduct(productId: number): Problem {
  return problems.notFound(`There is no product ${productId}.`);
}

function changedMeanwhile(productId: number): Problem {
  return problems.preconditionFailed(`The stock of product ${productId} has changed since it was read.`);
}

function belowZero({ productId, available }: StockView, delta: number): Problem {
  return new Problem({
    status: 409,
    title: 'Not enough stock',
    detail: `Product ${productId} has ${available} left; ${-delta} cannot be taken away.`,
    extensions: { product_id: productId, available },
  });
}
