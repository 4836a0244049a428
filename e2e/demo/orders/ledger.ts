import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { Pool } from 'mysql2/promise';
import { type BrokenEquation, brokenEquations, readStock } from '../inventory/stock-equation.ts';
import { type BookFault, type Books, bookFaults, readBooks, totalsOf } from '../payments/books.ts';
import type { Progress } from '../progress.ts';
import { countRows } from '../with-shop.ts';

export type LedgerPools = Record<'monolith' | 'orders' | 'inventory' | 'payments', Pool>;

/** Orders, stock and money of the whole shop, wherever each of them is, read with SQL beside every program. */
export type Ledger = {
  /** To be called while nobody buys: waits until nothing is left to be found out, and adds everything up. */
  addUp(): Promise<Books>;
  figures: { faults: BookFault[]; stockBroken: BrokenEquation[]; lost: number };
};

export type LedgerOptions = {
  pools: LedgerPools;
  /** Who owns the writes of this slice now. */
  ownerOf(slice: 'orders' | 'inventory' | 'payments'): Promise<'monolith' | 'service'>;
  providerUrl: string;
  /** Of whoever buys. */
  accountIds: readonly number[];
  /** Ids of orders that the shop has acknowledged, as they come. */
  acknowledged: ReadonlySet<number>;
  progress: Progress;
  signal: AbortSignal;
};

const settlesWithinMs = 90_000;

/** Opens the ledger; what there is of stock now is what it is held against. The stock must be the monolith's. */
export const openLedger = async (options: LedgerOptions): Promise<Ledger> => {
  const { pools, ownerOf, providerUrl, accountIds, acknowledged, progress, signal } = options;
  const stocked = await readStock(pools.monolith, pools.monolith, { hasReservations: false });
  const figures: Ledger['figures'] = { faults: [], stockBroken: [], lost: 0 };
  const ownerPool = async (slice: 'orders' | 'inventory' | 'payments'): Promise<Pool> =>
    (await ownerOf(slice)) === 'service' ? pools[slice] : pools.monolith;

  const open = async (): Promise<Record<string, number>> => ({
    orders: await countRows(
      await ownerPool('orders'),
      "SELECT COUNT(*) AS n FROM orders WHERE account_id IN (?) AND status = 'awaiting_payment'",
      [accountIds],
    ),
    sagas: await countRows(pools.orders, 'SELECT COUNT(*) AS n FROM sagas WHERE due_at IS NOT NULL'),
    stockErrands: await countRows(pools.monolith, 'SELECT COUNT(*) AS n FROM stock_errands WHERE done_at IS NULL'),
    paymentErrands: await countRows(pools.monolith, 'SELECT COUNT(*) AS n FROM payment_errands WHERE done_at IS NULL'),
    held: await countRows(pools.inventory, "SELECT COUNT(*) AS n FROM reservations WHERE state = 'held'"),
    payments: await countRows(
      await ownerPool('payments'),
      "SELECT COUNT(*) AS n FROM payments WHERE account_id IN (?) AND status IN ('pending', 'cancelling', 'refunding')",
      [accountIds],
    ),
  });
  const isSettled = async (): Promise<boolean> => Object.values(await open()).every((n) => n === 0);

  return {
    figures,
    async addUp() {
      await eventually(isSettled, { withinMs: settlesWithinMs, signal }).catch(async () =>
        progress.say(`  not everything is settled: ${JSON.stringify(await open())}`),
      );
      const orders = await ownerPool('orders');
      const ids = [...acknowledged, 0];
      const kept = await countRows(orders, 'SELECT COUNT(*) AS n FROM orders WHERE id IN (?)', [ids]);
      figures.lost += acknowledged.size - kept;

      const hasReservations = (await ownerOf('inventory')) === 'service';
      const stock = await readStock(await ownerPool('inventory'), orders, { hasReservations });
      const broken = brokenEquations(stocked, stock);
      figures.stockBroken.push(...broken);
      for (const { productId, what, expected, found } of broken)
        progress.say(`FOUND product ${productId}: ${what}: expected ${expected}, found ${found}`);

      const owner = await ownerPool('payments');
      const books = await readBooks({ providerUrl, owner, monolith: orders }, accountIds);
      const faults = bookFaults(books);
      figures.faults.push(...faults);
      for (const { what, orderId, expected, found } of faults.slice(0, 10))
        progress.say(
          `FOUND ${what}${orderId === null ? '' : ` (order ${orderId})`}: expected ${expected}, found ${found}`,
        );

      const { takenCents, refundedCents, confirmedCents } = totalsOf(books);
      progress.say(
        `  ${books.orders.length} orders, ${acknowledged.size - kept} of ${acknowledged.size} acknowledged ones lost; ` +
          `${takenCents} cents taken, ${confirmedCents} of confirmed orders, ${refundedCents} given back; ` +
          `${faults.length} faults of the books, ${broken.length} of the stock`,
      );
      return books;
    },
  };
};
