import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { testServers } from '@strangler/platform/testing/servers.ts';
import fc from 'fast-check';
import type { Connection } from 'mysql2/promise';
import { type CapturedDatabase, capturedDatabase } from '../capture/capture-fixture.ts';
import { rowsOf } from '../schema/queryable.ts';
import { columnOf } from '../schema/table-schema.ts';
import { codecOf } from './column-codec.ts';
import { type TypedValues, typedValues } from './typed-values.fixture.ts';

const cases = typedValues
  .filter(({ only }) => only === undefined || only === testServers().engine)
  .map((entry, at) => ({ ...entry, name: `t${at}` }));

/** However a writer's session is set, the same must come through. */
const sessions = [
  '',
  `SET time_zone = '-09:30', character_set_results = latin1`,
  `SET time_zone = '+13:00', sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,ALLOW_INVALID_DATES'`,
  `SET collation_connection = utf8mb4_bin, div_precision_increment = 0, group_concat_max_len = 4`,
];

let db: CapturedDatabase;
const writers: Connection[] = [];
let applier: Connection;

beforeAll(async () => {
  db = await capturedDatabase('round_trip');
  for (const { name, type } of cases) {
    await db.pool.query(`CREATE TABLE ${name} (id INT PRIMARY KEY, v ${type})`);
    for (const end of ['decoded', 'computed'])
      await db.pool.query(`CREATE TABLE ${name}_${end} (id INT PRIMARY KEY, v ${type})`);
  }
  await db.capture(Object.fromEntries(cases.map(({ name }) => [name, 'all'])));
  for (const session of sessions) {
    const writer = await db.writer();
    await writer.query(`SET sql_mode = 'ALLOW_INVALID_DATES'`);
    if (session !== '') await writer.query(session);
    writers.push(writer);
  }
  applier = await db.writer();
  await applier.query(`SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO'`);
});
afterAll(() => db.drop());

type Values = readonly (string | Buffer | null)[];

/** Writes values as rows 1 to n, half of them by an update of a row that held another one. */
async function write({ name, assign = '?' }: TypedValues & { name: string }, values: Values): Promise<void> {
  for (const [at, value] of values.entries()) {
    const writer = writers[at % writers.length]!;
    const held = at % 2 === 0 ? value : (values[at - 1] ?? null);
    await writer.execute(`INSERT INTO ${name} VALUES (?, ${assign})`, [at + 1, held]);
    if (at % 2 === 1) await writer.execute(`UPDATE ${name} SET v = ${assign} WHERE id = ?`, [value, at + 1]);
  }
}

describe('a value comes out of the pipe as it went in', () => {
  test.each(cases)('$type', async (entry) => {
    const { name, value } = entry;
    const codec = codecOf(columnOf(await db.table(name), 'v'), db.server.dialect);
    const some = fc.array(fc.option(value, { freq: 20 }), { minLength: 16, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(some, async (values) => {
        for (const table of [name, `${name}_decoded`, `${name}_computed`]) await applier.query(`DELETE FROM ${table}`);
        await db.take();
        await write(entry, values);
        const newest = new Map((await db.take()).map((message) => [message.keyText, message.image!]));
        const images = [...newest.values()];

        // A row that was skipped is known for what it was, whatever it holds.
        await writers[0]!.query(`UPDATE IGNORE ${name} SET id = 1 WHERE id <> 1`);
        expect(await db.take()).toEqual([]);

        // What the triggers tell is what is told to whoever reads the table.
        const read = await rowsOf(
          applier,
          `SELECT CAST(id AS CHAR) AS id, ${codec.encodeSql('v')} AS v FROM ${name} ORDER BY ${name}.id`,
        );
        expect(images.map(({ id, v }) => ({ id, v }))).toEqual(read.map((row) => ({ ...(row as object) })));

        await applier.execute(
          `INSERT INTO ${name}_decoded VALUES ${images.map(() => `(?, ${codec.decodeSql('?')})`).join(', ')}`,
          images.flatMap(({ id, v }) => [id!, v!]),
        );
        for (const { id, v } of images) {
          await applier.execute(
            `INSERT INTO ${name}_computed SELECT ?, ${codec.valueSql('s.v')} FROM (SELECT ? AS v) s`,
            [id!, v!],
          );
        }
        for (const end of ['decoded', 'computed']) {
          const rows = await rowsOf(
            applier,
            `SELECT HEX(CAST(a.v AS BINARY)) AS \`from\`, HEX(CAST(b.v AS BINARY)) AS \`to\`, ${codec.differsSql('a.v', 'b.v')} AS differs
             FROM ${name} a LEFT JOIN ${name}_${end} b ON b.id = a.id
             WHERE NOT (HEX(CAST(a.v AS BINARY)) <=> HEX(CAST(b.v AS BINARY))) OR ${codec.differsSql('a.v', 'b.v')}`,
          );
          expect(rows).toEqual([]);
          const sums = await rowsOf<{ Checksum: number }>(applier, `CHECKSUM TABLE ${name}, ${name}_${end}`);
          expect(sums[1]!.Checksum).toBe(sums[0]!.Checksum);
        }
      }),
      { numRuns: 2 },
    );
  });
});
