import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { installTargetTables } from '@strangler/migrations/engine/apply/own-tables.ts';
import { openPipeDatabases, type PipeDatabases } from '@strangler/migrations/engine/pipe/open-databases.ts';
import { reverseTables } from '@strangler/migrations/engine/pipe/reverse-tables.ts';
import { type VerifyEvent, verifyTable } from '@strangler/migrations/engine/verify/verify.ts';
import { seed } from '@strangler/monolith/seed/seed.ts';
import { migrateUp } from '@strangler/payments/database.ts';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { copyTables } from './fill-catalogue.ts';

const log = createLog({ name: 'test', level: 'silent' });
const folder = fileURLToPath(new URL('../../migrations/slices/payments', import.meta.url));

let shop: FreshDatabase;
let own: FreshDatabase;
let pipe: PipeDatabases;
let source: Pool;

beforeAll(async () => {
  [shop, own] = await Promise.all([freshDatabase('pay_shop'), freshDatabase('pay_own')]);
  await Promise.all([seed({ url: shop.url, size: 60, seed: 7, log }), migrateUp(own.url, log)]);
  const { slice } = parseSliceFile(readFileSync(`${folder}/slice.yaml`, 'utf8'), 'slice.yaml');
  if (slice === null) throw new Error('expected the slice file to be one that the kit takes');
  pipe = await openPipeDatabases({ slice, folder, sourceUrl: shop.url, targetUrl: own.url });
  source = createPool(shop.url, { connectionLimit: 2 });
}, 180_000);
afterAll(async () => {
  await pipe?.close();
  await source?.end();
  for (const database of [shop, own]) await database?.drop();
});

test('nothing stands in the way of moving the payments’ tables', async () => {
  const { findings, tables } = await pipe.preflight();
  expect(findings.filter(({ level }) => level === 'refuse')).toEqual([]);
  expect(tables.map(({ mapping }) => mapping.target)).toEqual(['payments', 'payment_events']);
});

test('every column that the shop has of a payment comes back', async () => {
  const { findings, tables: back } = reverseTables('payments', await pipe.tables());
  expect(findings).toEqual([]);
  const kept = back.map(({ mapping, target: table }) => table.columns.length - mapping.columns.length);
  expect(kept).toEqual([0, 0]);
});

test('the shop’s payments are copied row by row', async () => {
  const [[counted]] = await source.query<RowDataPacket[]>('SELECT COUNT(*) AS n FROM payments');
  expect(counted?.n).toBeGreaterThan(0);
  await source.query(
    "INSERT INTO payment_events (event_id, type, payment_id, effect, received_at) SELECT CONCAT('evt_', id), 'charge.succeeded', id, 'applied', created_at FROM payments",
  );
  const tables = await pipe.tables();
  await installTargetTables(pipe.target.apply);
  await copyTables(pipe, tables, log);
  for (const table of tables) {
    let last: VerifyEvent | undefined;
    for await (const event of verifyTable({ table, source: pipe.source.read, target: pipe.target.read })) last = event;
    expect(last).toMatchObject({ kind: 'done', complete: true, differences: 0, unsettled: 0 });
  }
});
