import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { installTargetTables } from '@strangler/migrations/engine/apply/own-tables.ts';
import { openPipeDatabases, type PipeDatabases } from '@strangler/migrations/engine/pipe/open-databases.ts';
import { type VerifyEvent, verifyTable } from '@strangler/migrations/engine/verify/verify.ts';
import { seed } from '@strangler/monolith/seed/seed.ts';
import { migrateUp } from '@strangler/orders/database.ts';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { createLog } from '@strangler/platform/log.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import { copyTables } from './fill-catalogue.ts';

const log = createLog({ name: 'test', level: 'silent' });
const folder = fileURLToPath(new URL('../../migrations/slices/orders', import.meta.url));

let shop: FreshDatabase;
let own: FreshDatabase;
const pipes: PipeDatabases[] = [];

beforeAll(async () => {
  [shop, own] = await Promise.all([freshDatabase('ord_shop'), freshDatabase('ord_own')]);
  await Promise.all([seed({ url: shop.url, size: 60, seed: 7, log }), migrateUp(own.url, log)]);
}, 180_000);
afterAll(async () => {
  for (const pipe of pipes) await pipe.close();
  for (const database of [shop, own]) await database?.drop();
});

function open(direction: 'forward' | 'reverse'): PipeDatabases {
  const { slice } = parseSliceFile(readFileSync(`${folder}/slice.yaml`, 'utf8'), 'slice.yaml');
  if (slice === null) throw new Error('expected the slice file to be one that the kit takes');
  const pipe = openPipeDatabases({ slice, folder, direction, sourceUrl: shop.adminUrl, targetUrl: own.adminUrl });
  pipes.push(pipe);
  return pipe;
}

test('nothing stands in the way of moving the orders’ tables, nor of what the service writes coming back', async () => {
  for (const direction of ['forward', 'reverse'] as const) {
    const { findings } = await open(direction).preflight();
    const refused = findings.filter(({ level }) => level === 'refuse');
    expect({ direction, refused }).toEqual({ direction, refused: [] });
  }
  const back = (await open('reverse').tables()).map(({ mapping }) => mapping.source);
  expect(back).toEqual(['orders', 'order_items', 'idempotency_keys', 'strangler_canary']);
});

test('the shop’s orders are copied row by row, and what they are shown with', async () => {
  const pipe = open('forward');
  const tables = await pipe.tables();
  await installTargetTables(pipe.target.apply);
  await copyTables(pipe, tables, log);
  for (const table of tables) {
    let last: VerifyEvent | undefined;
    for await (const event of verifyTable({ table, source: pipe.source.read, target: pipe.target.read })) last = event;
    expect(last).toMatchObject({ kind: 'done', complete: true, differences: 0, unsettled: 0 });
  }
});
