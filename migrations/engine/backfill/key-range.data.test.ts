import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { dialectOf } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import fc from 'fast-check';
import type { Pool } from 'mysql2/promise';
import { createReadPool } from '../apply/session.ts';
import { codecOf } from '../row/column-codec.ts';
import { quoteName } from '../schema/identifiers.ts';
import { rowsOf } from '../schema/queryable.ts';
import { readTable } from '../schema/read-table.ts';
import { columnOf } from '../schema/table-schema.ts';
import { type KeyOrder, type KeyPlace, keyOrder } from './key-range.ts';

let database: FreshDatabase;
let pool: Pool;
let reader: Pool;

beforeAll(async () => {
  database = await freshDatabase('key_range');
  pool = createReadPool(database.url);
  await pool.query('SET SESSION TRANSACTION READ WRITE');
  reader = createReadPool(database.url, { connectionLimit: 1 });
});

afterAll(async () => {
  await pool?.end();
  await reader?.end();
  await database?.drop();
});

const admin = async (sql: string, values: unknown[] = []) => {
  const connection = await pool.getConnection();
  try {
    await connection.query('SET SESSION TRANSACTION READ WRITE');
    await connection.query(sql, values);
  } finally {
    connection.destroy();
  }
};

/** Kinds of key column, with values of which many are close to each other. */
const kinds: Record<string, { type: string; values: readonly (string | number | Buffer)[] }> = {
  number: { type: 'BIGINT', values: ['-9223372036854775808', -1, 0, 1, '9007199254740993', '9223372036854775807'] },
  decimal: { type: 'DECIMAL(8,3)', values: ['-1.005', '0.000', '0.001', '10.5', '9.999'] },
  words: {
    type: 'VARCHAR(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci',
    values: ['', 'a', 'B', 'c', 'Ä', 'z', '~/', "'", '茶', 'a b', 'aB c'],
  },
  bytes: { type: 'VARBINARY(9)', values: [Buffer.from([]), Buffer.from([0]), Buffer.from([0, 1]), Buffer.from([255])] },
  member: { type: "ENUM('z', 'b', 'a')", values: ['z', 'b', 'a'] },
  set: { type: "SET('z', 'a')", values: ['', 'z', 'a', 'z,a'] },
  instant: {
    type: 'TIMESTAMP(6)',
    values: ['2026-10-25 01:30:00.000001', '2026-10-25 01:30:00.000002', '2026-03-29 02:30:00'],
  },
  time: { type: 'TIME(3)', values: ['-10:00:00.5', '00:00:00', '100:00:00.001'] },
  bits: { type: 'BIT(20)', values: [0, 1, 255, 256, 1048575] },
};

async function orderOf(table: string): Promise<{ order: KeyOrder; texts: string }> {
  const dialect = await dialectOf(pool);
  const schema = await readTable(pool, { dialect, database: database.name, table });
  if (schema === undefined) throw new Error(`expected a table ${table}`);
  const columns = schema.primaryKey.map((name) => columnOf(schema, name));
  const texts = columns.map(
    (column, index) => `${codecOf(column, dialect).encodeSql(quoteName(column.name))} AS k${index}`,
  );
  return { order: keyOrder(columns, dialect), texts: texts.join(', ') };
}

let made = 0;
const names = Object.keys(kinds);

test('going from key to key meets every row once, whatever the key is made of', async () => {
  const wanted = fc.record({
    columns: fc.shuffledSubarray(names, { minLength: 1, maxLength: 3 }),
    picks: fc.array(fc.tuple(fc.nat(20), fc.nat(20), fc.nat(20)), { minLength: 1, maxLength: 25 }),
    size: fc.integer({ min: 1, max: 4 }),
  });
  await fc.assert(
    fc.asyncProperty(wanted, async ({ columns, picks, size }) => {
      made += 1;
      const table = `keys_${made}`;
      const definitions = columns.map((name) => `\`${name}\` ${kinds[name]?.type} NOT NULL`);
      await admin(
        `CREATE TABLE ${table} (${definitions.join(', ')}, PRIMARY KEY (${columns.map(quoteName).join(', ')}))`,
      );
      const rows = picks.map((pick) =>
        columns.map((name, index) => {
          const { values } = kinds[name] as (typeof kinds)[string];
          return values[(pick[index] as number) % values.length];
        }),
      );
      await admin(`INSERT IGNORE INTO ${table} VALUES ?`, [rows]);
      const { order, texts } = await orderOf(table);
      const all = await reader.query({
        sql: `SELECT ${texts} FROM ${table} ORDER BY ${order.orderBy}`,
        rowsAsArray: true,
      });
      const expected = all[0] as unknown as KeyPlace[];
      const met: KeyPlace[] = [];
      for (let after: KeyPlace | null = null; ; ) {
        const { sql, values } = order.within({ after, upTo: null });
        const [found] = await reader.query({
          sql: `SELECT ${texts} FROM ${table} WHERE ${sql} ORDER BY ${order.orderBy} LIMIT ?`,
          values: [...values, size],
          rowsAsArray: true,
        });
        const page = found as unknown as KeyPlace[];
        met.push(...page);
        if (page.length < size) break;
        after = page.at(-1) as KeyPlace;
        // The same rows, as one range between two keys.
        const first = order.within({ after: met.at(-size - 1) ?? null, upTo: after });
        const [range] = await rowsOf<{ n: number }>(
          reader,
          `SELECT COUNT(*) AS n FROM ${table} WHERE ${first.sql}`,
          first.values,
        );
        expect(range?.n).toBe(size);
      }
      expect(met).toEqual(expected);
      await admin(`DROP TABLE ${table}`);
    }),
    { numRuns: 40 },
  );
}, 180_000);

test('the next rows are found by the primary key, not by reading all before them', async () => {
  await admin('CREATE TABLE many (a INT, b VARCHAR(9), c INT, v INT, PRIMARY KEY (a, b, c))');
  const rows = Array.from({ length: 3000 }, (_, index) => [Math.floor(index / 1000), `w${index % 10}`, index, 0]);
  await admin('INSERT INTO many VALUES ?', [rows]);
  await admin('ANALYZE TABLE many');
  const { order, texts } = await orderOf('many');
  const { sql, values } = order.within({ after: ['2', 'w5', '2500'], upTo: null });
  const connection = await reader.getConnection();
  try {
    await connection.query('FLUSH STATUS').catch(() => {});
    const before = await handlerReads(connection);
    const [found] = await connection.query(
      `SELECT ${texts} FROM many WHERE ${sql} ORDER BY ${order.orderBy} LIMIT 20`,
      values,
    );
    expect((found as unknown[]).length).toBe(20);
    expect((await handlerReads(connection)) - before).toBeLessThan(100);
  } finally {
    connection.release();
  }
});

async function handlerReads(db: Pick<Pool, 'query'>): Promise<number> {
  const rows = await rowsOf<{ Value: string }>(db, "SHOW SESSION STATUS LIKE 'Handler_read_%'");
  return rows.reduce((sum, { Value }) => sum + Number(Value), 0);
}
