import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { DataTypes } from 'sequelize';
import { eventually } from '../testing/eventually.ts';
import { type FreshDatabase, freshDatabase } from '../testing/servers.ts';
import { createPool } from './pool.ts';
import { type SchemaMigration, type SchemaMigrations, schemaMigrations } from './schema-migrations.ts';

const log = pino({ level: 'silent' });
let database: FreshDatabase;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  database = await freshDatabase('migrations');
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

afterAll(() => database?.drop());

function open(
  migrations: { name: string; up: SchemaMigration; down?: SchemaMigration }[],
  more: object = {},
): SchemaMigrations {
  const made = schemaMigrations({ url: database.url, log, migrations, ...more });
  closers.push(() => made.close());
  return made;
}

function openDirectory(directory: string): SchemaMigrations {
  const made = schemaMigrations({ url: database.url, log, directory });
  closers.push(() => made.close());
  return made;
}

/** A folder in this repository, so that Node takes its files as the modules they would be. */
async function directoryOf(files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(path.join(import.meta.dirname, 'tmp-migrations-'));
  closers.push(() => rm(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(directory, name), text);
  return directory;
}

async function tables(): Promise<string[]> {
  const pool = createPool(database.url);
  try {
    const [rows] = await pool.query('SHOW TABLES');
    return (rows as object[]).map((row) => String(Object.values(row)[0])).sort();
  } finally {
    await pool.end();
  }
}

const creating = (table: string) => ({
  name: `0001-${table}`,
  up: (async ({ context }) =>
    context.createTable(table, { id: { type: DataTypes.INTEGER, primaryKey: true } })) as SchemaMigration,
  down: (async ({ context }) => context.dropTable(table)) as SchemaMigration,
});

describe('a folder of migrations', () => {
  const create = (table: string) => `
    import type { QueryInterface } from 'sequelize';
    type Params = { context: QueryInterface };
    export const up = async ({ context }: Params) => { await context.sequelize.query('CREATE TABLE ${table} (id INT PRIMARY KEY)'); };
    export const down = async ({ context }: Params) => { await context.dropTable('${table}'); };
  `;

  test('is gone up in order, once, and down one by one', async () => {
    const migrations = openDirectory(
      await directoryOf({ '0002-b.ts': create('b'), '0001-a.ts': create('a'), 'readme.md': '' }),
    );
    expect((await migrations.pending()).map(({ name }) => name)).toEqual(['0001-a', '0002-b']);
    expect((await migrations.up()).map(({ name }) => name)).toEqual(['0001-a', '0002-b']);
    expect(await migrations.up()).toEqual([]);
    expect(await tables()).toEqual(['a', 'b', 'schema_migrations']);
    expect((await migrations.down()).map(({ name }) => name)).toEqual(['0002-b']);
    expect((await migrations.executed()).map(({ name }) => name)).toEqual(['0001-a']);
    await migrations.down({ to: 0 });
    expect(await tables()).toEqual(['schema_migrations']);
  });

  test('is refused when a name does not fit, or a number is there twice', async () => {
    const misnamed = openDirectory(await directoryOf({ '1-a.ts': '' }));
    await expect(misnamed.pending()).rejects.toThrow(/expected NNNN-name.ts \(lower case, dashes\), found 1-a.ts/);
    const twice = openDirectory(await directoryOf({ '0001-a.ts': '', '0001-b.ts': '' }));
    await expect(twice.up()).rejects.toThrow(/0001-a.ts and 0001-b.ts have the same number/);
  });

  test('says which file lacks its way down', async () => {
    const migrations = openDirectory(await directoryOf({ '0001-a.ts': 'export const up = async () => {};' }));
    await migrations.up();
    await expect(migrations.down()).rejects.toThrow(
      /Migration 0001-a \(down\) failed:.*0001-a.ts: expected an exported function down, found none/,
    );
    const repaired = open([{ name: '0001-a', up: async () => {}, down: async () => {} }]);
    await repaired.down();
  });
});

test('a failing migration is named with its direction and cause, and is pending still', async () => {
  const migrations = open([
    {
      name: '0001-broken',
      up: async ({ context }) => context.sequelize.query('CREATE TABLE broken (id NONSENSE)'),
    },
  ]);
  await expect(migrations.up()).rejects.toThrow(/Migration 0001-broken \(up\) failed: Original error: .*NONSENSE/);
  expect((await migrations.pending()).map(({ name }) => name)).toEqual(['0001-broken']);
});

describe('two processes', () => {
  test('that go up at once do each migration once', async () => {
    const both = [open([creating('raced')]), open([creating('raced')])] as const;
    const done = await Promise.all(both.map((migrations) => migrations.up()));
    expect(done.flat().map(({ name }) => name)).toEqual(['0001-raced']);
    await both[0].down();
  });

  test('wait for each other no longer than told, and say who holds the lock', async () => {
    const release = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const slow = open([
      {
        name: '0001-slow',
        up: async () => {
          begun.resolve();
          await release.promise;
        },
        down: async () => {},
      },
    ]).up();
    await begun.promise;
    const impatient = open([creating('impatient')], { lockTimeoutMs: 1000 });
    await expect(impatient.up()).rejects.toThrow(/within 1000 ms, found it held by connection \d+/);
    release.resolve();
    await slow;
  });

  test('whose first dies are not held up by its lock', async () => {
    const begun = Promise.withResolvers<void>();
    const dying = open([
      {
        name: '0002-dying',
        up: async ({ context }) => {
          begun.resolve();
          await context.sequelize.query('SELECT SLEEP(60)');
        },
      },
    ]).up();
    dying.catch(() => {});
    await begun.promise;
    const pool = createPool(database.adminUrl);
    await eventually(async () => {
      const [rows] = await pool.query('SELECT id FROM information_schema.processlist WHERE user = ?', [database.name]);
      const ids = (rows as Record<string, unknown>[]).map((row) => Number(Object.values(row)[0]));
      for (const id of ids) await pool.query('KILL ?', [id]).catch(() => {});
      return ids.length >= 2;
    });
    await pool.end();
    await expect(dying).rejects.toThrow();
    const next = open([creating('after_death')], { lockTimeoutMs: 10_000 });
    await next.up();
    await next.down();
  });
});

test('a migration does not begin when the lock was lost before it', async () => {
  const pool = createPool(database.adminUrl);
  const migrations = open([
    {
      name: '0003-first',
      up: async () => {
        const [rows] = await pool.query('SELECT IS_USED_LOCK(?) AS id', [`schema_migrations:${database.name}`]);
        await pool.query('KILL ?', [(rows as { id: number }[])[0]?.id]);
      },
    },
    { name: '0004-second', up: async () => {} },
  ]);
  await expect(migrations.up()).rejects.toThrow();
  expect((await migrations.pending()).map(({ name }) => name)).toEqual(['0004-second']);
  await pool.end();
});
