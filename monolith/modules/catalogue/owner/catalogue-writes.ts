import type { OwnFence } from '@strangler/platform/ownership/own-fence.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import { throughSeam } from '@strangler/platform/ownership/through-seam.ts';
import type { Identity } from '../../../auth/auth.ts';
import type { Representation } from '../../../http/representation.ts';
import type { CategoryFields } from '../category-service.ts';
import type { CategoryView } from '../category-tree.ts';
import type { PriceRule } from '../price-rule.ts';
import type { ProductFields, ProductPatch } from '../product-fields.ts';
import type { NewReview, ReviewView } from '../review-service.ts';

/** For whom something is written. */
export type Caller = {
  identity: Identity;
  /** The Authorization header that proves it. */
  authorization: string;
};

/**
 * Every write of the catalogue's tables that the shop's own code makes. They throw the same problems wherever the tables
 * are: 404 where something is not there, 409, 412 where `ifMatch` does not name the present representation.
 */
export type CatalogueWrites = {
  createProduct(fields: ProductFields, caller: Caller): Promise<Representation & { id: number }>;
  replaceProduct(id: number, ifMatch: string, fields: ProductFields, caller: Caller): Promise<Representation>;
  patchProduct(id: number, ifMatch: string, patch: ProductPatch, caller: Caller): Promise<Representation>;
  archiveProduct(id: number, ifMatch: string, caller: Caller): Promise<void>;
  createCategory(fields: CategoryFields, caller: Caller): Promise<CategoryView>;
  replaceCategory(id: number, fields: CategoryFields, caller: Caller): Promise<CategoryView>;
  removeCategory(id: number, caller: Caller): Promise<void>;
  createReview(productId: number, review: NewReview, caller: Caller): Promise<ReviewView>;
  removeReview(productId: number, reviewId: number, caller: Caller): Promise<void>;
  /**
   * Changes the prices of all products that the rule names, or of none; gives how many. `run` names this run of the job:
   * the service applies a rule once a run, however often it is asked.
   */
  applyPriceRule(run: string, rule: PriceRule): Promise<number>;
};

/** A job has nobody waiting for its answer: it can outlast a cut-over that is tried several times. */
const jobWaitMs = 60_000;

/** Writes where the owner of the tables is, which the flags tell: branch by abstraction, each write by itself. */
export function writesOfOwner({
  owner,
  fence,
  local,
  remote,
  waitMs,
}: {
  owner: OwnerFollower | undefined;
  /** The fence of the shop's own tables. */
  fence: OwnFence | undefined;
  local: CatalogueWrites;
  /** Writes sent to the service under this epoch. */
  remote(epoch: number): CatalogueWrites;
  /** How long a write may wait while the ownership is moved. */
  waitMs: number;
}): CatalogueWrites {
  const write = <T>(made: (side: CatalogueWrites) => Promise<T>, withinMs = waitMs): Promise<T> =>
    throughSeam({
      owner,
      fence,
      local: () => made(local),
      remote: (epoch) => made(remote(epoch)),
      waitMs: withinMs,
    });
  return {
    createProduct: (...args) => write((side) => side.createProduct(...args)),
    replaceProduct: (...args) => write((side) => side.replaceProduct(...args)),
    patchProduct: (...args) => write((side) => side.patchProduct(...args)),
    archiveProduct: (...args) => write((side) => side.archiveProduct(...args)),
    createCategory: (...args) => write((side) => side.createCategory(...args)),
    replaceCategory: (...args) => write((side) => side.replaceCategory(...args)),
    removeCategory: (...args) => write((side) => side.removeCategory(...args)),
    createReview: (...args) => write((side) => side.createReview(...args)),
    removeReview: (...args) => write((side) => side.removeReview(...args)),
    applyPriceRule: (...args) => write((side) => side.applyPriceRule(...args), jobWaitMs),
  };
}
