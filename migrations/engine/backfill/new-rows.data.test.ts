import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { mapped } from '../apply/fixture.ts';
import { openSides, type PipeSides } from '../apply/pipe.fixture.ts';
import { rowsOf } from '../schema/queryable.ts';
import { type NewRowsSql, newRowsSql } from './new-rows.ts';

let sides: PipeSides;

beforeAll(async () => {
  sides = await openSides('new_rows');
  for (const pool of [sides.source, sides.target]) {
    await pool.query('CREATE TABLE words (id INT PRIMARY KEY, word TEXT CHARACTER SET utf8mb4 NULL)');
    await pool.query('CREATE TABLE bytes (id INT PRIMARY KEY, word VARBINARY(200) NULL)');
  }
});

beforeEach(async () => {
  for (const table of ['words', 'bytes']) await sides.target.query(`DELETE FROM ${table}`);
});

afterAll(() => sides?.close());

const nasty = fc.constantFrom(
  '\\',
  '"',
  "'",
  '\0',
  '\n',
  '\r',
  '\t',
  '\b',
  '\f',
  '\u001a',
  '/',
  '?',
  '%',
  '_',
  'u0041',
  '茶',
  '🫖',
  '\u007f',
);
const word = fc
  .array(fc.oneof(nasty, fc.string({ unit: 'grapheme' })), { maxLength: 8 })
  .map((parts) => parts.join(''));
const words = fc.array(fc.option(word), { minLength: 1, maxLength: 20 });

const sqlOf = async (source: string): Promise<NewRowsSql> => {
  const sql = newRowsSql(await mapped(sides, { source }));
  if (sql === null) throw new Error('expected rows that are inserted as they are');
  return sql;
};

describe('a text', () => {
  test('arrives byte for byte, whatever stands in it and whoever made JSON of it', async () => {
    const sql = await sqlOf('words');
    await fc.assert(
      fc.asyncProperty(words, async (texts) => {
        await sides.target.query('DELETE FROM words');
        const here = texts.map((text, id) => JSON.stringify([String(id), text]));
        const there: string[] = [];
        for (const [id, text] of texts.entries()) {
          const [row] = await rowsOf<{ json: string }>(
            sides.source,
            `SELECT CONCAT('["', ?, '",', IF(? IS NULL, 'null', JSON_QUOTE(CONVERT(? USING utf8mb4))), ']') AS json`,
            [String(1000 + id), text, text],
          );
          there.push(row?.json as string);
        }
        await sides.applyTarget.query(sql([...here, ...there]));
        const found = await rowsOf<{ id: number; hex: string | null }>(
          sides.target,
          'SELECT id, HEX(word) AS hex FROM words ORDER BY id',
        );
        const hex = (text: string | null) => (text === null ? null : Buffer.from(text).toString('hex').toUpperCase());
        expect(found).toEqual(
          [0, 1000].flatMap((from) => texts.map((text, id) => ({ id: from + id, hex: hex(text) }))),
        );
      }),
      { numRuns: 60 },
    );
  });
});

test('bytes arrive as bytes, where a text has to be made a value', async () => {
  const sql = await sqlOf('bytes');
  await sides.applyTarget.query(sql(['["1","00FF5C22"]', '["2",null]']));
  const found = await rowsOf(sides.target, 'SELECT id, HEX(word) AS hex FROM bytes ORDER BY id');
  expect(found).toEqual([
    { id: 1, hex: '00FF5C22' },
    { id: 2, hex: null },
  ]);
});

test('an expression of the mapping needs another statement', async () => {
  const table = await mapped(sides, {
    source: 'words',
    columns: [
      { target: 'id', from: 'column', column: 'id' },
      { target: 'word', from: 'sql', sql: 'UPPER(word)', columns: ['word'] },
    ],
  });
  expect(newRowsSql(table)).toBeNull();
});
