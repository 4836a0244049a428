import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { testServers } from '@strangler/platform/testing/servers.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import { type Pipe, startPipe } from '../testing/start-pipe.ts';
import { exitCodes } from './exit-codes.ts';
import { runProgram } from './program.ts';

const columns =
  'id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2) NOT NULL, note TEXT NULL, at DATETIME(6) NULL';

let pipe: Pipe;
beforeAll(async () => {
  const rows = Array.from(
    { length: 500 },
    (_, id) => `(${id}, 'thing ${id}', ${id}.5, '', '2026-01-01 00:00:00.999999')`,
  );
  pipe = await startPipe({
    label: 'cliwhole',
    sourceSql: [`CREATE TABLE things (${columns})`, `INSERT INTO things VALUES ${rows.join(', ')}`],
    targetSql: [`CREATE TABLE things (${columns})`],
    slice: { tables: '  - source: things\n' },
  });
}, 180_000);
afterAll(() => pipe?.close());

const run = async (words: readonly string[]) => {
  const out: string[] = [];
  const err: string[] = [];
  const status = await runProgram(words, {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    environment: {
      STRANGLER_SOURCE: pipe.source.adminUrl,
      STRANGLER_TARGET: pipe.target.url,
      STRANGLER_SLICES: pipe.slicesFolder,
      STRANGLER_FLAGS: pipe.flags,
      STRANGLER_USER: 'ada',
      RABBITMQ_URL: testServers().rabbitmqUrl,
    },
    log: createLog({ name: 'test', level: 'silent' }),
    signal: new AbortController().signal,
  });
  return { status, out: out.join('\n'), err: err.join('\n') };
};

const things = (end: Pipe['source']) =>
  rowsOf(
    end.pool,
    'SELECT id, HEX(name) AS name, price, HEX(note) AS note, CAST(at AS CHAR) AS at FROM things ORDER BY id',
  );

test('copied while it is written to, verified, damaged, told of, repaired and verified: all by commands, with relay and applier at work', async () => {
  const { slice } = pipe.slice;
  let writing = true;
  const writer = (async () => {
    for (let n = 0; writing; n += 1) {
      await pipe.source.pool.query('UPDATE things SET price = price + 1 WHERE id = ?', [(n * 7) % 500]);
      if (n % 5 === 0) await pipe.source.pool.query('DELETE FROM things WHERE id = ?', [400 + (n % 50)]);
    }
  })();
  try {
    expect(await run(['backfill', slice])).toMatchObject({ status: exitCodes.done });
    expect(await run(['verify', slice, '--patience', '30s'])).toMatchObject({ status: exitCodes.done });
  } finally {
    writing = false;
    await writer;
  }
  await pipe.empty();

  for (const sql of [
    'UPDATE things SET price = price + 0.01 WHERE id = 1',
    "UPDATE things SET name = CONCAT(name, ' ') WHERE id = 2",
    "UPDATE things SET name = 'THING 3' WHERE id = 3",
    'UPDATE things SET at = at + INTERVAL 1 MICROSECOND WHERE id = 4',
    'UPDATE things SET note = NULL WHERE id = 5',
    'DELETE FROM things WHERE id = 6',
    "INSERT INTO things VALUES (9000, 'extra', 0, NULL, NULL)",
  ]) {
    await pipe.target.pool.query(sql);
  }
  const damaged = await run(['verify', slice]);
  expect(damaged).toMatchObject({ status: exitCodes.failed, err: expect.stringContaining('7 differences') });
  expect(await run(['repair', slice, '--differences', '--reason', 'planted damage'])).toMatchObject({
    status: exitCodes.done,
    err: expect.not.stringContaining('not mended'),
    out: expect.stringContaining('7 rows mended: both sides hold the same now'),
  });
  expect((await run(['verify', slice])).status).toBe(exitCodes.done);
  expect(await things(pipe.target)).toEqual(await things(pipe.source));
  const writers = JSON.parse((await run(['writers', slice, '--json'])).out);
  expect(writers).toContainEqual(expect.objectContaining({ user: 'ada', request: 'planted damage', changes: 7 }));
  expect((await run(['dlq', 'list', slice])).out).toBe(`${slice}.apply: no message was given up`);
}, 180_000);
