import { createRandom, type Random } from '../../seed/random.ts';
import { SEED_BEGIN_MS, SEED_END_MS, type SeedPlan, type SeedTable } from '../../seed/seed-table.ts';
import { sqlTime } from '../../sql-time.ts';
import { type Rating, ratingColumns, withReview } from './rating.ts';
import {
  adjectives,
  colours,
  complaints,
  materials,
  opinions,
  praise,
  type SeedCategory,
  seedRoots,
  sentences,
  shrugs,
} from './seed-words.ts';

const DAY_MS = 86_400_000;
const MEAN_REVIEWS = 3.5; // of the distribution before it is cut to whole numbers: 3 a product
const MAX_REVIEWS = 60;

/** A product as other modules' seeds need it. */
export type SeededProduct = {
  id: number;
  name: string;
  priceCents: number;
  currency: string;
  createdMs: number;
  /** Active and not archived. */
  onSale: boolean;
};

/** Roots have the ids from 1 on, then come their children, root by root. */
const leaves: { id: number; category: SeedCategory }[] = seedRoots
  .flatMap((root) => root.children)
  .map((category, at) => ({ id: seedRoots.length + 1 + at, category }));

export function seededProduct({ seed, size }: Pick<SeedPlan, 'seed' | 'size'>, id: number): SeededProduct {
  return productDraft(createRandom(seed, 'product', id), { id, size });
}

/** How many reviews a product has: most have few, some have many. Never more than there are customers. */
export function reviewCount({ seed, accounts }: SeedPlan, productId: number): number {
  const count = Math.floor(createRandom(seed, 'reviews', productId).exponential(MEAN_REVIEWS));
  return Math.min(count, MAX_REVIEWS, accounts - 1);
}

export function catalogueTables(): SeedTable[] {
  return [categories, products, reviews];
}

const categories: SeedTable = {
  table: 'categories',
  columns: ['id', 'parent_id', 'name', 'slug', 'created_at', 'updated_at'],
  rowCount: () => seedRoots.length + leaves.length,
  *rows() {
    const opened = sqlTime(SEED_BEGIN_MS);
    for (const [at, root] of seedRoots.entries()) yield [at + 1, null, root.name, root.slug, opened, opened];
    for (const [at, { id, category }] of leaves.entries()) {
      const parent = Math.floor((at * seedRoots.length) / leaves.length) + 1;
      yield [id, parent, category.name, category.slug, opened, opened];
    }
  },
};

const products: SeedTable = {
  table: 'products',
  columns: [
    'id',
    'sku',
    'name',
    'description',
    'category_id',
    'price_cents',
    'currency',
    'attributes',
    'active',
    'archived_at',
    'rating_sum',
    'rating_count',
    'rating_average',
    'version',
    'created_at',
    'updated_at',
  ],
  rowCount: ({ size }) => size,
  *rows(plan) {
    for (let id = 1; id <= plan.size; id++) {
      const random = createRandom(plan.seed, 'product', id);
      const draft = productDraft(random, { id, size: plan.size });
      const attributes = {
        colour: random.pick(colours),
        material: draft.material,
        weight_g: random.integer(2, 900) * 10,
      };
      const description = Array.from({ length: random.integer(1, 4) }, () => random.pick(sentences)).join(' ');
      const written = [...reviewsOf(plan, draft)];
      const rating = written.reduce<Rating>((sum, review) => withReview(sum, review.stars), { sum: 0, count: 0 });
      const { rating_sum, rating_count, rating_average } = ratingColumns(rating);
      const reviewedMs = written.at(-1)?.createdMs ?? draft.createdMs;
      const archivedMs = draft.archived ? SEED_END_MS : undefined;
      yield [
        id,
        `${draft.category.slug.slice(0, 3).toUpperCase()}-${String(id).padStart(7, '0')}`,
        draft.name,
        description,
        draft.categoryId,
        draft.priceCents,
        draft.currency,
        JSON.stringify(attributes),
        draft.onSale ? 1 : 0,
        archivedMs === undefined ? null : sqlTime(archivedMs),
        rating_sum,
        rating_count,
        rating_average,
        1 + rating_count + (archivedMs === undefined ? 0 : 1),
        sqlTime(draft.createdMs),
        sqlTime(archivedMs ?? reviewedMs),
      ];
    }
  },
};

const reviews: SeedTable = {
  table: 'reviews',
  columns: ['id', 'product_id', 'account_id', 'rating', 'title', 'body', 'created_at'],
  rowCount(plan) {
    let total = 0;
    for (let id = 1; id <= plan.size; id++) total += reviewCount(plan, id);
    return total;
  },
  *rows(plan) {
    let reviewId = 0;
    for (let id = 1; id <= plan.size; id++) {
      for (const review of reviewsOf(plan, seededProduct(plan, id))) {
        reviewId += 1;
        yield [reviewId, id, review.accountId, review.stars, review.title, review.body, sqlTime(review.createdMs)];
      }
    }
  },
};

type ProductDraft = SeededProduct & { category: SeedCategory; categoryId: number; material: string; archived: boolean };

/** The beginning of a product's stream of values, which all who need the product draw alike. */
function productDraft(random: Random, { id, size }: { id: number; size: number }): ProductDraft {
  const leaf = random.pick(leaves);
  const material = random.pick(materials);
  const name = `${random.pick(adjectives)} ${material} ${random.pick(leaf.category.nouns)}`;
  const factor = Math.exp((random.next() + random.next() + random.next() - 1.5) * 1.4);
  const ending = random.pick([0, 50, 90, 95, 99] as const);
  const archived = random.chance(0.005);
  return {
    id,
    name,
    category: leaf.category,
    categoryId: leaf.id,
    material,
    priceCents: Math.max(1, Math.floor((leaf.category.middleCents * factor) / 100)) * 100 + ending,
    currency: 'EUR',
    createdMs: SEED_BEGIN_MS + Math.floor(((SEED_END_MS - 60 * DAY_MS - SEED_BEGIN_MS) * id) / size),
    archived,
    onSale: !archived && !random.chance(0.03),
  };
}

type ReviewDraft = { accountId: number; stars: number; title: string; body: string; createdMs: number };

/** A product's reviews, oldest first. Its customers are neighbours in the list of accounts, so no one comes twice. */
function* reviewsOf(plan: SeedPlan, product: SeededProduct): Iterable<ReviewDraft> {
  const count = reviewCount(plan, product.id);
  if (count === 0) return;
  const random = createRandom(plan.seed, 'review texts', product.id);
  const customers = plan.accounts - 1;
  const first = random.integer(0, customers - 1);
  const quality = random.next();
  const stepMs = Math.floor((SEED_END_MS - product.createdMs) / (count + 1));
  for (let at = 0; at < count; at++) {
    const stars = Math.min(5, Math.max(1, Math.round(1 + 4 * (0.6 * quality + 0.55 * random.next()))));
    yield {
      accountId: 2 + ((first + at) % customers),
      stars,
      title: random.pick(stars >= 4 ? praise : stars === 3 ? shrugs : complaints),
      body: Array.from({ length: random.integer(1, 3) }, () => random.pick(opinions)).join(' '),
      createdMs: product.createdMs + stepMs * (at + 1) + random.integer(0, stepMs - 1),
    };
  }
}
