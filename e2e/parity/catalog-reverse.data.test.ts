import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { migrateUp } from '@strangler/catalog/database.ts';
import { openPipeDatabases, type PipeDatabases } from '@strangler/migrations/engine/pipe/open-databases.ts';
import { seed } from '@strangler/monolith/seed/seed.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import { createLog } from '@strangler/platform/log.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';

const log = createLog({ name: 'test', level: 'silent' });
const slices = `${repositoryRoot}/migrations/slices`;

let shop: FreshDatabase;
let own: FreshDatabase;
let pipe: PipeDatabases;

beforeAll(async () => {
  [shop, own] = await Promise.all([freshDatabase('back_shop'), freshDatabase('back_cat')]);
  await Promise.all([seed({ url: shop.url, size: 20, seed: 7, log }), migrateUp(own.url, log)]);
  const slice = (await readSliceDirectory(slices)).find((one) => one.slice === 'catalog');
  if (slice === undefined) throw new Error(`${slices}: expected a slice catalog, found none`);
  const ends = { sourceUrl: shop.adminUrl, targetUrl: own.adminUrl };
  pipe = openPipeDatabases({ slice, folder: `${slices}/catalog`, direction: 'reverse', ...ends });
}, 180_000);
afterAll(async () => {
  await pipe?.close();
  for (const database of [shop, own]) await database?.drop();
});

test('everything that the catalogue writes can come back to the shop', async () => {
  const { findings } = await pipe.preflight();
  expect(findings.filter(({ level }) => level === 'refuse')).toEqual([]);
  expect((await pipe.tables()).map(({ mapping }) => [mapping.source, mapping.target])).toEqual([
    ['categories', 'categories'],
    ['products', 'products'],
    ['reviews', 'reviews'],
    ['strangler_canary', 'strangler_canary'],
  ]);
}, 180_000);
