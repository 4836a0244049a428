import { entityTag } from '@strangler/platform/http/entity-tag.ts';
import type { Representation } from '../http/representation.ts';

/** How much of a product can be sold; version 0 and no time where it has never had stock. */
export type StockView = { productId: number; available: number; version: number; updatedAt: Date | null };

/** A row of `stock_levels` as the driver gives it. */
export type LevelRow = { product_id: number | string; available: number; version: number; updated_at: Date };

export const levelColumns = 'product_id, available, version, updated_at';

/** The most that a stock level may reach. */
export const mostAvailable = 1_000_000_000;

export function viewOf(productId: number, row: LevelRow | undefined): StockView {
  return row === undefined
    ? { productId, available: 0, version: 0, updatedAt: null }
    : { productId, available: row.available, version: row.version, updatedAt: row.updated_at };
}

export function stockJson({ productId, available, version, updatedAt }: StockView) {
  return { product_id: productId, available, version, updated_at: updatedAt?.toISOString() ?? null };
}

export function stockRepresentation(stock: StockView): Representation {
  const body = JSON.stringify(stockJson(stock));
  return { body, entityTag: entityTag(body, stock.version) };
}
