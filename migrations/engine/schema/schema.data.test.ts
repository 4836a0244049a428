import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import fc from 'fast-check';
import type { Pool } from 'mysql2/promise';
import { IdentifierError, quoteName, quoteText } from './identifiers.ts';
import { rowsOf } from './queryable.ts';
import { readServer } from './read-server.ts';
import { readTable } from './read-table.ts';
import { columnOf } from './table-schema.ts';

let database: FreshDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await freshDatabase('schema');
  pool = createPool(database.url);
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

const table = async (name: string) =>
  (await readTable(pool, { dialect: testServers().engine, database: database.name, table: name }))!;

describe('a table', () => {
  test('is read with its columns, keys, foreign keys and triggers', async () => {
    await pool.query('CREATE TABLE parent (a INT, b INT, PRIMARY KEY (b, a))');
    await pool.query(
      `CREATE TABLE child (
         id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, pa INT, pb INT, price DECIMAL(10,2) NOT NULL DEFAULT 1,
         label VARCHAR(30) CHARACTER SET latin1 NOT NULL, doc JSON, at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
         kind ENUM('a','it''s','x\\\\y','é') NOT NULL, twice INT GENERATED ALWAYS AS (price * 2) VIRTUAL, kept INT GENERATED ALWAYS AS (price * 3) STORED,
         UNIQUE KEY by_label (label, pa), UNIQUE KEY by_prefix (label(3)), KEY plain (pb),
         CONSTRAINT up FOREIGN KEY (pb, pa) REFERENCES parent (b, a) ON DELETE CASCADE)`,
    );
    await pool.query('CREATE TRIGGER theirs BEFORE INSERT ON child FOR EACH ROW SET NEW.price = 2');
    const child = await table('child');
    expect(child).toMatchObject({
      storageEngine: 'InnoDB',
      tableType: 'BASE TABLE',
      partitioned: false,
      primaryKey: ['id'],
      uniqueKeys: [
        { name: 'by_label', columns: ['label', 'pa'], exact: true },
        { name: 'by_prefix', columns: ['label'], exact: false },
      ],
      foreignKeys: [
        {
          name: 'up',
          columns: ['pb', 'pa'],
          referencedTable: 'parent',
          referencedColumns: ['b', 'a'],
          onDelete: 'CASCADE',
        },
      ],
      triggers: [{ name: 'theirs', timing: 'BEFORE', event: 'INSERT', body: 'SET NEW.price = 2' }],
    });
    expect(columnOf(child, 'ID')).toMatchObject({
      name: 'id',
      type: 'bigint',
      unsigned: true,
      autoIncrement: true,
      nullable: false,
      hasDefault: true,
    });
    expect(columnOf(child, 'price')).toMatchObject({ precision: 10, scale: 2, hasDefault: true });
    expect(columnOf(child, 'label')).toMatchObject({
      charset: 'latin1',
      maxChars: 30,
      maxBytes: 30,
      hasDefault: false,
      padsSpace: true,
    });
    expect(columnOf(child, 'doc')).toMatchObject({ type: 'json', nullable: true });
    expect(columnOf(child, 'at')).toMatchObject({ fractionDigits: 3, hasDefault: true, generated: null });
    expect(columnOf(child, 'kind').members).toEqual(['a', "it's", 'x\\y', 'é']);
    expect([columnOf(child, 'twice').generated, columnOf(child, 'kept').generated]).toEqual(['virtual', 'stored']);
    const parent = await table('parent');
    expect(parent.primaryKey).toEqual(['b', 'a']);
    expect(parent.referencedBy).toMatchObject([{ table: 'child', name: 'up' }]);
  });

  test('that is not there is undefined, and a column that is not there is named with those that are', async () => {
    expect(await table('nowhere')).toBeUndefined();
    const parent = await table('parent');
    expect(() => columnOf(parent, 'c')).toThrow('parent: expected a column c, found a, b');
  });
});

test('a server says what it is, and an address without a database is refused', async () => {
  const server = await readServer(pool);
  expect(server).toMatchObject({ dialect: testServers().engine, database: database.name });
  const none = createPool(testServers().mysqlUrl);
  try {
    await expect(readServer(none)).rejects.toThrow('expected an address that names a database');
  } finally {
    await none.end();
  }
});

describe('quoted', () => {
  test('any name that the server takes for a column comes back as it was', async () => {
    const unit = fc.constantFrom(...'ab1 `\'"\\;%_$-é漢.', '\t');
    await fc.assert(
      fc.asyncProperty(fc.string({ unit, minLength: 1, maxLength: 40 }), async (name) => {
        fc.pre(!name.endsWith(' '));
        const rows = await rowsOf(pool, `SELECT 1 AS ${quoteName(`x${name}`)}`);
        expect(Object.keys(rows[0] as object)).toEqual([`x${name}`]);
      }),
      { numRuns: 50 },
    );
    for (const name of ['', 'a ', 'a\0', '😀', 'x'.repeat(65)]) expect(() => quoteName(name)).toThrow(IdentifierError);
  });

  test('any text means itself under every SQL mode', async () => {
    const connection = await pool.getConnection();
    try {
      for (const mode of ['', 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', 'PIPES_AS_CONCAT']) {
        await connection.query(`SET SESSION sql_mode = '${mode}'`);
        await fc.assert(
          fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 20 }), async (text) => {
            const [row] = await rowsOf<{ hex: string }>(
              connection,
              `SELECT HEX(CONVERT(${quoteText(text)} USING utf8mb4)) AS hex`,
            );
            expect(row!.hex).toBe(Buffer.from(text).toString('hex').toUpperCase());
          }),
          { numRuns: 50 },
        );
      }
    } finally {
      connection.destroy();
    }
  });
});
