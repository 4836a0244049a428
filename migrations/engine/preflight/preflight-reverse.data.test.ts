import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parseSliceFile, type Slice } from '@strangler/platform/contracts/slice-file.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { openPipeDatabases, SliceNotMappable } from '../pipe/open-databases.ts';
import { preflightReverse } from './preflight-reverse.ts';

let databases: FreshDatabase[];
let monolith: Pool;
let service: Pool;
let folder: string;

const sliceOf = (tables: string): Slice => {
  const { slice, faults } = parseSliceFile(
    `slice: catalog\nservice: catalog\nroutes: [ GET /a ]\ntables:\n${tables}`,
    'slice.yaml',
  );
  if (slice === null) throw new Error(JSON.stringify(faults));
  return slice;
};

const refusals = async (tables: string): Promise<string[]> => {
  const { findings } = await preflightReverse({ slice: sliceOf(tables), folder, source: service, target: monolith });
  return findings
    .filter(({ level }) => level === 'refuse')
    .map(({ rule, where, reason }) => `${rule} ${where}: ${reason}`);
};

beforeAll(async () => {
  databases = [await freshDatabase('pre_mono'), await freshDatabase('pre_serv')];
  // With a binary log nobody else may create triggers.
  monolith = createPool(databases[0]!.adminUrl);
  service = createPool(databases[1]!.adminUrl);
  folder = await mkdtemp(join(tmpdir(), 'reverse-'));
  const columns = 'id INT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2) NOT NULL';
  await monolith.query(`CREATE TABLE good (${columns}, note TEXT NULL)`);
  await service.query(`CREATE TABLE good (${columns}, cents INT NULL)`);
  await monolith.query('CREATE TABLE kept (id INT NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL)');
  await service.query('CREATE TABLE kept (id INT NOT NULL PRIMARY KEY)');
  await monolith.query('CREATE TABLE narrow (id INT NOT NULL PRIMARY KEY, name VARCHAR(20) NOT NULL)');
  await service.query('CREATE TABLE narrow (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR(200) NULL)');
  await monolith.query('CREATE TABLE lossy (id INT NOT NULL PRIMARY KEY, name VARCHAR(40) NOT NULL)');
  await service.query('CREATE TABLE lossy (id INT NOT NULL PRIMARY KEY, loud VARCHAR(40) NOT NULL)');
  await service.query("INSERT INTO lossy VALUES (1, 'ANN'), (2, 'Bob')");
  await writeFile(
    join(folder, 'loud.mjs'),
    `export const transform = { sourceColumns: ['name'], targetColumns: ['loud'],
       toTarget: ({ name }) => ({ loud: name.toUpperCase() }), toSource: ({ loud }) => ({ name: loud.toUpperCase() }) };`,
  );
});
afterAll(async () => {
  await Promise.all([monolith.end(), service.end()]);
  for (const database of databases) await database.drop();
  await rm(folder, { recursive: true });
});

test('a slice whose rows can come back is mapped round, and opened the other way it says so itself', async () => {
  const tables = `  - source: good
    columns: { id: id, name: name, price: price, cents: { sql: "ROUND(price * 100)" } }
  - { source: narrow, reference: true }
`;
  expect(await refusals(tables)).toEqual([]);
  const [sourceUrl, targetUrl] = databases.map(({ adminUrl }) => adminUrl) as [string, string];
  const pipe = openPipeDatabases({ slice: sliceOf(tables), folder, sourceUrl, targetUrl, direction: 'reverse' });
  try {
    const mapped = await pipe.tables();
    expect(pipe).toMatchObject({ direction: 'reverse', sliceName: 'catalog', slice: { slice: 'catalog-reverse' } });
    expect(mapped.map(({ mapping }) => [mapping.slice, mapping.source])).toEqual([
      ['catalog-reverse', 'good'],
      ['catalog-reverse', 'strangler_canary'],
    ]);
    expect(mapped.map(({ source, target }) => [source.database, target.database])).toEqual(
      mapped.map(() => [databases[1]!.name, databases[0]!.name]),
    );
    expect(mapped[0]?.mapping.captured).toEqual(['id', 'name', 'price']);
  } finally {
    await pipe.close();
  }
});

test('a column of the monolith’s that nothing is given back to is told of, for it goes stale once the service writes', async () => {
  const slice = sliceOf('  - { source: good, columns: { id: id, name: name, price: price } }\n');
  const { findings } = await preflightReverse({ slice, folder, source: service, target: monolith });
  expect(findings.filter(({ rule }) => rule === 'column-unmapped')).toEqual([
    expect.objectContaining({
      level: 'warn',
      reason: expect.stringMatching(/^nothing of good goes to good\.note: rows that the service changes keep/),
    }),
  ]);
});

test('what the service may write and the monolith could not take back is told, all of it at once', async () => {
  const found = await refusals(`  - source: narrow
  - { source: kept, columns: { id: id } }
  - { source: nowhere }
`);
  expect(found).toEqual([
    expect.stringMatching(/^table-missing source .*expected a table nowhere/),
    expect.stringMatching(/^table-missing target .*expected a table nowhere/),
    expect.stringMatching(/^column-unmapped mapping of kept back to kept: kept\.name is NOT NULL, has no default/),
    expect.stringMatching(/^column-incompatible .*id int.* does not hold every bigint/),
    expect.stringMatching(/^column-incompatible .*name may be NULL and name may not/),
  ]);
});

test('a transform that does not give the service back what it had is told of the row that shows it', async () => {
  expect(await refusals('  - { source: lossy, columns: { id: id }, transform: ./loud.mjs }\n')).toEqual([
    expect.stringContaining('toTarget(toSource(row)) does not give back loud of row 2: expected "Bob", found "BOB"'),
  ]);
});

test('a slice of reference tables only has nothing to bring back, and nothing stands in its way', async () => {
  expect(await refusals('  - { source: good, reference: true }\n')).toEqual([]);
});

test('a slice that cannot come back is not opened', async () => {
  const [sourceUrl, targetUrl] = databases.map(({ adminUrl }) => adminUrl) as [string, string];
  const slice = sliceOf('  - source: narrow\n');
  const pipe = openPipeDatabases({ slice, folder, sourceUrl, targetUrl, direction: 'reverse' });
  await expect(pipe.tables()).rejects.toBeInstanceOf(SliceNotMappable);
  await pipe.close();
});
