import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { migrateUp } from '@strangler/inventory/database.ts';
import { createApplier } from '@strangler/migrations/engine/apply/applier.ts';
import { installTargetTables } from '@strangler/migrations/engine/apply/own-tables.ts';
import { createPump, type Pump } from '@strangler/migrations/engine/apply/pipe.fixture.ts';
import { planCapture } from '@strangler/migrations/engine/capture/capture-plan.ts';
import { installCapture } from '@strangler/migrations/engine/capture/install-capture.ts';
import { openPipeDatabases, type PipeDatabases } from '@strangler/migrations/engine/pipe/open-databases.ts';
import { type VerifyEvent, verifyTable } from '@strangler/migrations/engine/verify/verify.ts';
import { seed } from '@strangler/monolith/seed/seed.ts';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool, dialectOf } from '@strangler/platform/mysql/pool.ts';
import { installOutbox } from '@strangler/platform/outbox/schema.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';
import type { Pool } from 'mysql2/promise';
import { copyTables } from './fill-catalogue.ts';

const log = createLog({ name: 'test', level: 'silent' });
const folder = `${repositoryRoot}/migrations/slices/inventory`;

let shop: FreshDatabase;
let own: FreshDatabase;
let source: Pool;
const pipes: PipeDatabases[] = [];

beforeAll(async () => {
  [shop, own] = await Promise.all([freshDatabase('slice_shop'), freshDatabase('slice_inv')]);
  await Promise.all([seed({ url: shop.url, size: 40, seed: 7, log }), migrateUp(own.url, log)]);
  source = createPool(shop.url, { connectionLimit: 4 });
}, 180_000);
afterAll(async () => {
  for (const pipe of pipes) await pipe.close();
  await source?.end();
  for (const database of [shop, own]) await database?.drop();
});

function open(direction: 'forward' | 'reverse'): PipeDatabases {
  const { slice, faults } = parseSliceFile(readFileSync(`${folder}/slice.yaml`, 'utf8'), 'slice.yaml');
  if (slice === null) throw new Error(`expected a slice, found ${JSON.stringify(faults)}`);
  const pipe = openPipeDatabases({ slice, folder, direction, sourceUrl: shop.adminUrl, targetUrl: own.adminUrl });
  pipes.push(pipe);
  return pipe;
}

async function expectEqual(pipe: PipeDatabases): Promise<void> {
  for (const table of await pipe.tables()) {
    if (table.mapping.source === 'strangler_canary') continue;
    let last: VerifyEvent | undefined;
    for await (const event of verifyTable({ table, source: pipe.source.read, target: pipe.target.read })) last = event;
    expect(last).toMatchObject({ kind: 'done', complete: true, differences: 0, unsettled: 0 });
  }
}

describe('the stock', () => {
  test('has nothing in the way of its moving there, nor of what the service writes coming back', async () => {
    for (const direction of ['forward', 'reverse'] as const) {
      const { findings } = await open(direction).preflight();
      expect({ direction, refused: findings.filter(({ level }) => level === 'refuse') }).toEqual({
        direction,
        refused: [],
      });
    }
    const back = (await open('reverse').tables()).map(({ mapping }) => mapping.source);
    expect(back).toEqual(['stock_levels', 'stock_adjustments', 'strangler_canary']);
  });

  test('is copied, and kept in step with what the shop does to it; of products, whether there are any', async () => {
    const pipe = open('forward');
    const tables = await pipe.tables();
    await installTargetTables(pipe.target.apply);
    await installOutbox(pipe.source.write);
    const dialect = await dialectOf(source);
    await installCapture(pipe.source.write, {
      slice: 'inventory',
      database: shop.name,
      epoch: 1,
      plans: tables.map(({ mapping, source: table }) =>
        planCapture({ slice: 'inventory', source: table, dialect, captured: mapping.captured }),
      ),
    });
    const pump: Pump = createPump(source, createApplier({ pool: pipe.target.apply, tables, log }));
    await copyTables(pipe, tables.toReversed(), log);
    await expectEqual(pipe);
    await source.query(
      'UPDATE stock_levels SET available = available + 1, version = version + 1 WHERE product_id % 2 = 0',
    );
    await source.query(
      "INSERT INTO stock_adjustments (product_id, delta, reason, created_at) SELECT product_id, 1, 'r', NOW(3) FROM stock_levels",
    );
    await source.query('UPDATE products SET archived_at = NOW(3) WHERE id % 3 = 0');
    await source.query("UPDATE products SET name = CONCAT(name, '!')");
    await pump.empty();
    await expectEqual(pipe);
    expect(tables.find(({ mapping }) => mapping.source === 'products')?.mapping.captured).toEqual([
      'id',
      'archived_at',
    ]);
  });
});
