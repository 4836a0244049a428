import { createPool } from '@strangler/platform/mysql/pool.ts';
import { outboxTable, rowsOf } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import { checkedPrefix, countedPrefix, productKey, reviewKey } from '../traffic/recorded/checked-products.ts';
import { checkedValue } from '../traffic/recorded/merchant.ts';
import { reviewTitle } from '../traffic/recorded/reviewer.ts';
import type { Captured } from './captured-order.ts';
import type { Evidence } from './check-cutovers.ts';
import { deleted, type Side } from './operation.ts';

/** Where the two databases are, for an account that may read all of both. */
export type BothDatabases = Record<Side, string>;

/**
 * Reads what both databases hold of the catalogue's checked rows, and both outboxes, with SQL of its own: none of what
 * moves the rows has a part in it. Nothing must be written meanwhile.
 */
export const readEvidence = async (urls: BothDatabases): Promise<Pick<Evidence, 'rows' | 'captured' | 'initial'>> => {
  const monolith = createPool(urls.monolith, { connectionLimit: 2 });
  const service = createPool(urls.service, { connectionLimit: 2 });
  try {
    const rows = await readCheckedRows(urls);
    const outboxes = [await readOutbox(monolith, 'monolith'), await readOutbox(service, 'service')].flat();
    const counted = [...rows.monolith.keys(), ...rows.service.keys()].filter((key) =>
      key.startsWith(productKey(countedPrefix)),
    );
    return { rows, captured: namedByKey(outboxes), initial: new Map(counted.map((key) => [key, '1'])) };
  } finally {
    await monolith.end();
    await service.end();
  }
};

/** What the checked keys hold on each side now. */
export const readCheckedRows = async (urls: BothDatabases): Promise<Evidence['rows']> => {
  const monolith = createPool(urls.monolith, { connectionLimit: 1 });
  const service = createPool(urls.service, { connectionLimit: 1 });
  try {
    return { monolith: await readRows(monolith, 'monolith'), service: await readRows(service, 'service') };
  } finally {
    await monolith.end();
    await service.end();
  }
};

type ProductImage = { sku: string; price_cents: string; name: string; version: string; archived_at: string | null };
type ReviewImage = { product_id: string; title: string } & ({ account_id: string } | { author_id: string });

const valueOfProduct = ({ sku, price_cents, name, version, archived_at }: ProductImage): string =>
  sku.startsWith(countedPrefix) ? version : archived_at === null ? checkedValue(price_cents, name) : deleted;

const keyOfReview = (image: ReviewImage): string =>
  reviewKey(image.product_id, 'account_id' in image ? image.account_id : image.author_id);

const readRows = async (db: Pool, side: Side): Promise<Map<string, string>> => {
  const products = await rowsOf<ProductImage>(
    db,
    `SELECT sku, CAST(price_cents AS CHAR) AS price_cents, name, CAST(version AS CHAR) AS version, CAST(archived_at AS CHAR) AS archived_at
     FROM products WHERE sku LIKE ?`,
    [`${checkedPrefix}%`],
  );
  const author = side === 'monolith' ? 'account_id' : 'author_id';
  const reviews = await rowsOf<ReviewImage>(
    db,
    `SELECT CAST(product_id AS CHAR) AS product_id, CAST(${author} AS CHAR) AS ${author}, title FROM reviews WHERE title LIKE ?`,
    [`${reviewTitle} %`],
  );
  return new Map([
    ...products.map((row) => [productKey(row.sku), valueOfProduct(row)] as const),
    ...reviews.map((row) => [keyOfReview(row), row.title] as const),
  ]);
};

/** A row's change, by the id of the row and not yet by its key: a delete does not tell that. */
type Change = Pick<Captured, 'side' | 'epoch' | 'id'> & {
  subject: 'products' | 'reviews';
  rowId: string;
  named: { key: string; value: string } | null;
};

type OutboxRow = { id: string; epoch: number; subject: Change['subject']; payload: string };
const page = 5_000;

const readOutbox = async (db: Pool, side: Side): Promise<Change[]> => {
  const changes: Change[] = [];
  for (let after = '0'; ; ) {
    const rows = await rowsOf<OutboxRow>(
      db,
      `SELECT CAST(id AS CHAR) AS id, epoch, subject, payload FROM ${outboxTable}
       WHERE id > ? AND kind = 'row' AND subject IN ('products', 'reviews') ORDER BY ${outboxTable}.id LIMIT ${page}`,
      [after],
    );
    for (const { id, epoch, subject, payload } of rows) {
      const { key, image } = JSON.parse(payload) as { key: { id: string }; image: ProductImage | ReviewImage | null };
      const named =
        image === null
          ? null
          : 'sku' in image
            ? { key: productKey(image.sku), value: valueOfProduct(image) }
            : { key: keyOfReview(image), value: image.title };
      changes.push({ side, epoch: Number(epoch), id: BigInt(id), subject, rowId: key.id, named });
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < page) return changes;
    after = last.id;
  }
};

/** Of checked rows, each change with its key. */
const namedByKey = (changes: readonly Change[]): Captured[] => {
  const keys = new Map<string, string>();
  for (const { subject, rowId, named } of changes) if (named !== null) keys.set(`${subject} ${rowId}`, named.key);
  return changes.flatMap(({ side, epoch, id, subject, rowId, named }) => {
    const key = keys.get(`${subject} ${rowId}`);
    const isChecked = key !== undefined && (key.startsWith(productKey(checkedPrefix)) || key.startsWith('review '));
    return isChecked ? [{ side, key, value: named?.value ?? deleted, epoch, id }] : [];
  });
};
