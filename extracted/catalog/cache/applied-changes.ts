import { everythingScope, type Scope } from '@strangler/platform/cache/scope.ts';
import type { AppliedMessage } from '@strangler/platform/contracts/applied-message.ts';
import { type Executor, select } from '@strangler/platform/mysql/statements.ts';
import { listsScope, productScope } from './scope.ts';

/** More products than these at once become everything: one generation is cheaper to change than so many. */
const MOST_PRODUCTS = 500;

/** What several announcements have made untrue, as far as they tell it. */
type Untrue = {
  everything: boolean;
  products: Set<number>;
  /** Whose products are in their rows. */
  reviews: Set<number>;
  authors: Set<number>;
};

/**
 * The scopes of what the pipe has written into this database: after its commit, so that rows can be looked up here. What
 * cannot be told for certain is everything.
 */
export async function scopesOfApplied(db: Executor, messages: readonly AppliedMessage[]): Promise<Scope[]> {
  const untrue: Untrue = { everything: false, products: new Set(), reviews: new Set(), authors: new Set() };
  for (const message of messages) collect(message, untrue);
  if (!untrue.everything) await lookUpProducts(db, untrue);
  if (untrue.everything) return [everythingScope];
  return untrue.products.size === 0 ? [] : [...[...untrue.products].map(productScope), listsScope];
}

function collect({ table, extent, changes }: AppliedMessage, untrue: Untrue): void {
  if (extent === 'table') untrue.everything = true;
  for (const { key, op } of changes) {
    const id = Number(key.id);
    const known = Number.isSafeInteger(id);
    if (known && table === 'products') untrue.products.add(id);
    // The row that told the product of a deleted review is gone, and the change of the product's rating, which the shop
    // makes in the same transaction, may have been applied and announced before this.
    else if (known && table === 'reviews' && op === 'upsert') untrue.reviews.add(id);
    else if (known && table === 'accounts') untrue.authors.add(id);
    // Names of categories are in every answer.
    else untrue.everything = true;
  }
  if (untrue.products.size > MOST_PRODUCTS) untrue.everything = true;
}

/** Most accounts that change have never reviewed anything, and then nothing has become untrue. */
async function lookUpProducts(db: Executor, untrue: Untrue): Promise<void> {
  const { reviews, authors, products } = untrue;
  for (const [column, ids] of [
    ['id', reviews],
    ['author_id', authors],
  ] as const) {
    if (ids.size === 0) continue;
    const sql = `SELECT DISTINCT product_id FROM reviews WHERE ${column} IN (?) LIMIT ?`;
    const found = await select<{ product_id: number }>(db, sql, [[...ids], MOST_PRODUCTS + 1]);
    for (const { product_id } of found) products.add(Number(product_id));
  }
  if (products.size > MOST_PRODUCTS) untrue.everything = true;
}
