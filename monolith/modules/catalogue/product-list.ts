import { type Cursor, decodeCursor, listFingerprint, pageParameters } from '@strangler/platform/http/paging.ts';
import { integerText, parseQuery } from '@strangler/platform/http/validate.ts';
import type { Request } from 'express';
import { Op, type Order, type WhereOptions } from 'sequelize';
import { z } from 'zod';
import type { ProductRow } from './models.ts';

export const productSorts = ['name', '-name', 'price', '-price', 'rating', 'newest'] as const;
export type ProductSort = (typeof productSorts)[number];

/** What a client asks of the list of products. */
export type ProductQuery = {
  /** Each must be the beginning of a word of the name, or of the SKU. */
  words: string[];
  /** Slug; products of the categories beneath it are listed too. */
  category: string | undefined;
  minPriceCents: number | undefined;
  maxPriceCents: number | undefined;
  minRating: number | undefined;
  sort: ProductSort;
  limit: number;
  fingerprint: string;
  after: Cursor<string | number> | undefined;
};

type SortColumn = 'name' | 'price_cents' | 'rating_average' | 'created_at';
type SortRule = {
  column: SortColumn;
  direction: 'ASC' | 'DESC';
  /** The sort key of a row, as it stands in a cursor; `key` is what a cursor may hold. */
  keyOf(row: ProductRow): string | number;
  key: z.ZodType<string | number>;
};

const byName = { column: 'name', keyOf: (row: ProductRow) => row.name, key: z.string() } as const;
const byPrice = { column: 'price_cents', keyOf: (row: ProductRow) => row.price_cents, key: z.int().min(0) } as const;

/** The id breaks ties in the direction of the key, so that an index is read in one direction. */
export const sortRules: Record<ProductSort, SortRule> = {
  name: { ...byName, direction: 'ASC' },
  '-name': { ...byName, direction: 'DESC' },
  price: { ...byPrice, direction: 'ASC' },
  '-price': { ...byPrice, direction: 'DESC' },
  rating: {
    column: 'rating_average',
    direction: 'DESC',
    keyOf: (row) => Number(row.rating_average),
    key: z.number().min(0).max(5),
  },
  newest: {
    column: 'created_at',
    direction: 'DESC',
    keyOf: (row) => row.created_at.toISOString(),
    key: z.iso.datetime({ precision: 3 }),
  },
};

const MAX_WORDS = 8;

const cents = integerText({ min: 0, max: 1_000_000_000 });

const schema = z.strictObject({
  q: z
    .string()
    .max(100)
    .transform((text) => [
      ...new Set(
        text
          .normalize('NFC')
          .split(/\s+/u)
          .filter((word) => word !== ''),
      ),
    ])
    .refine((words) => words.length <= MAX_WORDS, `must have at most ${MAX_WORDS} words`)
    .refine(
      (words) => words.every((word) => word.isWellFormed() && !word.includes('\0')),
      'must be well-formed Unicode text',
    )
    .optional(),
  category: z
    .string()
    .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'must be words of a-z 0-9 joined by single hyphens')
    .max(100)
    .optional(),
  min_price_cents: cents.optional(),
  max_price_cents: cents.optional(),
  min_rating: z
    .string()
    .regex(/^([0-4](\.\d{1,2})?|5(\.00?)?)$/, 'must be a number from 0 to 5 with at most two decimals')
    .transform(Number)
    .optional(),
  sort: z.enum(productSorts).default('newest'),
  ...pageParameters,
});

/** Reads the query string of GET /api/products; throws a 400 problem naming each parameter that is wrong. */
export function productQuery(request: Request): ProductQuery {
  const query = parseQuery(schema, request);
  const words = query.q ?? [];
  const fingerprint = listFingerprint({
    list: 'products',
    q: words.length > 0 ? words.join(' ') : undefined,
    category: query.category,
    min_price_cents: query.min_price_cents,
    max_price_cents: query.max_price_cents,
    min_rating: query.min_rating,
    sort: query.sort,
  });
  return {
    words,
    category: query.category,
    minPriceCents: query.min_price_cents,
    maxPriceCents: query.max_price_cents,
    minRating: query.min_rating,
    sort: query.sort,
    limit: query.limit,
    fingerprint,
    after:
      query.cursor === undefined
        ? undefined
        : decodeCursor(query.cursor, { fingerprint, key: sortRules[query.sort].key }),
  };
}

/** The conditions of a page; `categoryIds` are those the query's category stands for. */
export function productConditions(query: ProductQuery, categoryIds: number[] | undefined): WhereOptions<ProductRow> {
  const conditions: WhereOptions<ProductRow>[] = [{ active: true, archived_at: null }];
  for (const word of query.words) conditions.push(wordCondition(word));
  if (categoryIds) conditions.push({ category_id: { [Op.in]: categoryIds } });
  if (query.minPriceCents !== undefined) conditions.push({ price_cents: { [Op.gte]: query.minPriceCents } });
  if (query.maxPriceCents !== undefined) conditions.push({ price_cents: { [Op.lte]: query.maxPriceCents } });
  if (query.minRating !== undefined) conditions.push({ rating_average: { [Op.gte]: query.minRating } });
  if (query.after) conditions.push(afterCondition(query.sort, query.after));
  return { [Op.and]: conditions };
}

export function productOrder(sort: ProductSort): Order {
  const { column, direction } = sortRules[sort];
  return [
    [column, direction],
    ['id', direction],
  ];
}

function wordCondition(word: string): WhereOptions<ProductRow> {
  const prefix = `${word.replace(/[\\%_]/g, '\\$&')}%`;
  return {
    [Op.or]: [{ name: { [Op.like]: prefix } }, { name: { [Op.like]: `% ${prefix}` } }, { sku: { [Op.like]: prefix } }],
  };
}

/** `(key, id)` beyond the cursor, with the key's bound repeated alone: that is the form that reads as an index range. */
function afterCondition(sort: ProductSort, after: Cursor<string | number>): WhereOptions<ProductRow> {
  const { column, direction } = sortRules[sort];
  const key = column === 'created_at' ? new Date(after.key) : after.key;
  const [beyond, orEqual] = direction === 'ASC' ? [Op.gt, Op.gte] : [Op.lt, Op.lte];
  return {
    [column]: { [orEqual]: key },
    [Op.or]: [{ [column]: { [beyond]: key } }, { id: { [beyond]: after.id } }],
  };
}
