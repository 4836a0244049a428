import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { joinKeyText } from '@strangler/platform/contracts/row-message.ts';
import { testServers } from '@strangler/platform/testing/servers.ts';
import fc from 'fast-check';
import type { Connection } from 'mysql2/promise';
import { type CapturedDatabase, capturedDatabase } from '../capture/capture-fixture.ts';
import { rowsOf } from '../schema/queryable.ts';
import { keyTextSql } from './key-text.ts';

let db: CapturedDatabase;
let session: Connection;
beforeAll(async () => {
  db = await capturedDatabase('key_text');
  session = await db.writer();
});
afterAll(() => db.drop());

const keyOf = async (table: string, prefix = '') => keyTextSql(await db.table(table), db.server.dialect, prefix);

describe("a row's key text", () => {
  const mysqlOnly = ['utf8mb4_0900_ai_ci', 'utf8mb4_0900_bin', 'utf8mb4_0900_as_cs'];
  const mariadbOnly = ['utf8mb4_unicode_nopad_ci', 'utf8mb4_uca1400_ai_ci', 'utf8mb4_nopad_bin'];
  const both = [
    'utf8mb4_bin',
    'utf8mb4_general_ci',
    'utf8mb4_unicode_ci',
    'utf8mb4_unicode_520_ci',
    'latin1_swedish_ci',
    'latin1_general_cs',
    'ascii_general_ci',
  ];
  const collations = [...both, ...(testServers().engine === 'mysql' ? mysqlOnly : mariadbOnly)];

  test.each(collations)('is equal exactly where %s says that the keys are', async (collation) => {
    const charset = collation.split('_')[0];
    await session.query(`DROP TABLE IF EXISTS pair`);
    await session.query(`CREATE TABLE pair (k VARCHAR(20) CHARACTER SET ${charset} COLLATE ${collation} PRIMARY KEY)`);
    const text = await keyOf('pair', 's.');
    const units = charset === 'ascii' ? 'aAb ~/' : 'aAäß b\u00a0~/-s';
    const word = fc.string({
      unit: fc.constantFrom(...units, ...(charset === 'utf8mb4' ? ['e\u0301', 'é', '😀'] : [])),
      maxLength: 4,
    });
    const words = fc.sample(word, 60);
    const column = (name: string) => `CONVERT(${name} USING ${charset}) COLLATE ${collation}`;
    await session.query('DROP TABLE IF EXISTS words');
    await session.query(
      `CREATE TABLE words (id INT PRIMARY KEY, k VARCHAR(20) CHARACTER SET ${charset} COLLATE ${collation})`,
    );
    await session.query('INSERT INTO words VALUES ?', [words.map((one, at) => [at, one])]);
    const wrong = await rowsOf(
      session,
      `SELECT a.k AS one, b.k AS other, a.t AS oneText, b.t AS otherText
       FROM (SELECT s.k, ${text} AS t FROM words s) a JOIN (SELECT s.k, ${text} AS t FROM words s) b
       WHERE (${column('a.k')} = ${column('b.k')}) <> (CAST(a.t AS BINARY) = CAST(b.t AS BINARY)) LIMIT 5`,
    );
    expect(wrong).toEqual([]);
  });

  test('is what joinKeyText makes of the columns, escaped, joined, and its digest where it is too long', async () => {
    await session.query(
      `CREATE TABLE joined (a INT, b VARCHAR(300) CHARACTER SET utf8mb4 COLLATE ${testServers().engine === 'mysql' ? 'utf8mb4_0900_bin' : 'utf8mb4_nopad_bin'}, c DATE, PRIMARY KEY (a, b, c))`,
    );
    const sql = await keyOf('joined', 't.');
    const texts = fc.array(
      fc.oneof(
        fc.string({ unit: fc.constantFrom('~', '/', 'é', '😀', ' ', 'x'), maxLength: 20 }),
        fc.string({ unit: 'grapheme-ascii', minLength: 200, maxLength: 300 }),
      ),
      { minLength: 5, maxLength: 10 },
    );
    await fc.assert(
      fc.asyncProperty(texts, async (values) => {
        await session.query('DELETE FROM joined');
        await session.query('INSERT INTO joined VALUES ?', [values.map((value, at) => [at, value, '2024-01-02'])]);
        const rows = await rowsOf<{ a: number; b: string; found: string }>(
          session,
          `SELECT a, b, ${sql} AS found FROM joined t`,
        );
        expect(rows.map(({ found }) => found)).toEqual(rows.map(({ a, b }) => joinKeyText([`${a}`, b, '2024-01-02'])));
      }),
      { numRuns: 10 },
    );
  });

  test('keeps two spellings of one key one row: a change of case is no delete', async () => {
    await session.query(
      `CREATE TABLE sku (k VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, n INT)`,
    );
    await db.capture({ sku: 'all' });
    await session.query(`INSERT INTO sku VALUES ('abc', 1)`);
    await session.query(`UPDATE sku SET k = 'ABC '`);
    await session.query(`UPDATE sku SET k = 'x'`);
    const messages = await db.take();
    expect(messages.map(({ op, key }) => `${op} ${key.k}`)).toEqual([
      'upsert abc',
      'upsert ABC ',
      'delete ABC ',
      'upsert x',
    ]);
    expect(messages[0]!.keyText).toBe(messages[1]!.keyText);
    expect(messages[2]!.keyText).toBe(messages[1]!.keyText);
  });
});

test('generated columns are captured where they are named', async () => {
  await session.query(`CREATE TABLE made (
    id INT PRIMARY KEY, price DECIMAL(10,2), doubled DECIMAL(12,2) GENERATED ALWAYS AS (price * 2) VIRTUAL,
    label VARCHAR(30) GENERATED ALWAYS AS (CONCAT('p', price)) STORED)`);
  await db.capture({ made: 'all' });
  await session.query('INSERT INTO made (id, price) VALUES (1, 1.50)');
  await session.query('UPDATE made SET price = 2');
  await session.query('DELETE FROM made');
  const images = (await db.take()).map(({ image }) => image);
  expect(images).toEqual([
    { id: '1', price: '1.50', doubled: '3.00', label: 'p1.50' },
    { id: '1', price: '2.00', doubled: '4.00', label: 'p2.00' },
    null,
  ]);
});
