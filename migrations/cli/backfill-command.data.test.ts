import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { fillGoods, readGoods } from '../engine/apply/goods.fixture.ts';
import { backfillTable } from '../engine/apply/own-tables.ts';
import { readCheckpoint } from '../engine/backfill/checkpoint.ts';
import { removeCapture } from '../engine/capture/install-capture.ts';
import { withOperationLock } from '../engine/pipe/operation-lock.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import { exitCodes } from './exit-codes.ts';
import { type CliPipe, cliPipe } from './pipe-commands.fixture.ts';

let pipe: CliPipe;
beforeAll(async () => {
  pipe = await cliPipe('cli_backfill');
});
beforeEach(async () => {
  await pipe.empty();
  await pipe.capture();
});
afterAll(() => pipe?.close());

/** Rows that were there before anything was captured. */
async function fill(count: number): Promise<void> {
  await fillGoods(pipe.sides.source, count);
  await pipe.sides.source.query("INSERT INTO plain VALUES (1, 'a@b', NULL), (2, 'b@b', 5)");
  await pipe.sides.source.query('DELETE FROM strangler_outbox');
}

/** Runs the copy as a process of its own, sends it a signal while it is at work, and gives how it ended. */
async function signalled(signal: NodeJS.Signals): Promise<unknown[]> {
  const { source, applyTarget } = pipe.sides;
  // A row that somebody else is about to write: the copy stands still at it.
  const blocker = await applyTarget.getConnection();
  const [middle] = await rowsOf<{ shop: string; no: number }>(
    source,
    'SELECT shop, no FROM goods ORDER BY shop, no LIMIT 1 OFFSET 700',
  );
  await blocker.query('START TRANSACTION');
  await blocker.query("INSERT INTO goods (shop, no, name) VALUES (?, ?, 'in the way')", [middle!.shop, middle!.no]);
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), 'backfill', 'fixture', '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, ...pipe.environment, NODE_OPTIONS: '' },
  });
  const exited = once(child, 'exit');
  child.stdout.setEncoding('utf8');
  let text = '';
  await new Promise<void>((resolve) => {
    child.stdout.on('data', (part: string) => {
      text += part;
      if (text.includes('"kind":"chunk"')) resolve();
    });
    child.once('exit', () => resolve());
  });
  child.kill(signal);
  if (signal === 'SIGKILL') await exited;
  await blocker.query('ROLLBACK');
  blocker.release();
  return await exited;
}

const bothSides = async () => [await readGoods(pipe.sides.source), await readGoods(pipe.sides.target)] as const;

test('a copy is refused while changes are not captured, saying which, and nothing is copied', async () => {
  await fill(10);
  await removeCapture(pipe.sides.source, { slice: 'fixture', database: pipe.sides.sourceDatabase });
  const notAtAll = await pipe.run('backfill fixture');
  expect(notAtAll).toMatchObject({
    status: exitCodes.refused,
    err: expect.stringContaining('strangler advance fixture'),
  });
  await pipe.capture();
  const [trigger] = await rowsOf<{ Trigger: string }>(pipe.sides.source, "SHOW TRIGGERS LIKE 'plain'");
  await pipe.sides.source.query(`DROP TRIGGER ${trigger!.Trigger}`);
  const lacking = await pipe.run('backfill fixture');
  expect(lacking).toMatchObject({
    status: exitCodes.refused,
    err: expect.stringMatching(/missing: no (INSERT|UPDATE|DELETE) of plain is captured/),
  });
  expect(await readGoods(pipe.sides.target)).toEqual([]);
});

test('all tables are copied in the order of the slice file, and people are told of each and what to do next', async () => {
  await fill(300);
  const done = await pipe.run('backfill fixture');
  expect({ status: done.status, err: done.err }).toEqual({
    status: exitCodes.done,
    err: expect.stringMatching(/^goods: 300 rows in \S+\nplain: 2 rows in \S+$/),
  });
  expect(done.out).toMatch(/^TABLE +OUTCOME +READ +WRITTEN.*\ngoods +done +300 +300 .*\nplain +done +2 +2 /);
  expect(done.out).toContain('"strangler verify fixture"');
  const [source, target] = await bothSides();
  expect(target).toEqual(source);
  expect((await pipe.run('backfill fixture')).err).toContain('goods: copied before, 300 rows');
});

test('with --json each event is a line, the summary the last; --table copies one table, --restart what is missing', async () => {
  await fill(40);
  const one = await pipe.run('backfill fixture --table plain --json');
  expect(one.status).toBe(exitCodes.done);
  expect(one.events.at(-1)).toMatchObject({
    kind: 'summary',
    slice: 'fixture',
    outcome: 'done',
    tables: [{ table: 'plain', rowsRead: 2, rowsWritten: 2, rowsParked: 0, outcome: 'done' }],
  });
  expect(one.events.every(({ kind, table }) => kind === 'summary' || table === 'plain')).toBe(true);
  await pipe.sides.target.query('DELETE FROM plain WHERE id = 1');
  const again = await pipe.run('backfill fixture --table plain --restart --json');
  expect(again.events.at(-1)).toMatchObject({ tables: [{ rowsRead: 2, rowsWritten: 1 }] });
  expect(await pipe.run('backfill fixture --table plane')).toMatchObject({
    status: exitCodes.usage,
    err: expect.stringContaining('(goods, plain), found "plane"'),
  });
});

test('Ctrl-C stops after the chunk in hand, says how to go on, and the same command goes on from there', async () => {
  await fill(2000);
  const stopped = await pipe.run('backfill fixture --json', (line, stop) => {
    if (line.includes('"chunk"')) stop.abort();
  });
  expect(stopped).toMatchObject({
    status: exitCodes.interrupted,
    err: expect.stringContaining('"strangler backfill fixture" goes on from here'),
  });
  expect(stopped.events.at(-1)).toMatchObject({
    kind: 'summary',
    outcome: 'stopped',
    tables: [{ outcome: 'stopped' }],
  });
  const rest = await readCheckpoint(pipe.sides.target, 'goods');
  const done = await pipe.run('backfill fixture --json');
  expect(done.events[0]).toMatchObject({ kind: 'resumed', table: 'goods', rowsRead: rest?.rowsRead });
  expect(done.events.at(-1)).toMatchObject({ outcome: 'done', tables: [{ rowsRead: 2000, rowsWritten: 2000 }, {}] });
  const [source, target] = await bothSides();
  expect(target).toEqual(source);
});

test('killed with -9 in the midst, it goes on where it was, at once, with no row copied twice', async () => {
  await fill(2000);
  expect(await signalled('SIGKILL')).toEqual([null, 'SIGKILL']);
  const rest = await readCheckpoint(pipe.sides.target, 'goods');
  expect(rest).toMatchObject({ state: 'running', rowsRead: rest?.rowsWritten });
  expect(rest?.rowsRead).toBeGreaterThan(0);
  expect(rest?.rowsRead).toBeLessThanOrEqual(700);
  const done = await pipe.run('backfill fixture --json');
  expect(done.events[0]).toMatchObject({ kind: 'resumed', rowsRead: rest?.rowsRead });
  expect(done.events.at(-1)).toMatchObject({ outcome: 'done', tables: [{ rowsRead: 2000, rowsWritten: 2000 }, {}] });
  const [source, target] = await bothSides();
  expect(target).toEqual(source);
}, 180_000);

test('the program itself takes Ctrl-C and a signal to end in the same way, and exits 130', async () => {
  await fill(2000);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    expect(await signalled(signal)).toEqual([exitCodes.interrupted, null]);
    expect(await readCheckpoint(pipe.sides.target, 'goods')).toMatchObject({ state: 'running' });
    await pipe.sides.target.query('DELETE FROM goods');
    await pipe.sides.target.query(`DELETE FROM ${backfillTable}`);
  }
}, 180_000);

test('while another operation works on the slice it is refused, and the other named', async () => {
  await fill(5);
  await withOperationLock(pipe.sides.source, 'fixture', 'advance', async () => {
    const refused = await pipe.run('backfill fixture');
    expect(refused).toMatchObject({
      status: exitCodes.conflict,
      err: expect.stringMatching(
        /^strangler: backfill of fixture: expected no other operation .* held by connection \d+ \(/,
      ),
    });
  });
  expect(await readGoods(pipe.sides.target)).toEqual([]);
  expect((await pipe.run('backfill fixture')).status).toBe(exitCodes.done);
});

test('it waits while the pipe is behind, saying so, and goes on when that has caught up', async () => {
  await fill(50);
  await pipe.sides.source.query('UPDATE plain SET v = 7 WHERE id = 1');
  let waited = 0;
  const done = await pipe.run('backfill fixture --max-lag 1ms --json', (line) => {
    if (!line.includes('"waiting"')) return;
    waited += 1;
    if (waited === 1) void pipe.pump.empty().then(() => pipe.sides.source.query('DELETE FROM strangler_outbox'));
  });
  expect(done.status).toBe(exitCodes.done);
  expect(done.events.find(({ kind }) => kind === 'waiting')).toMatchObject({
    reason: expect.stringMatching(/^lag of \d+ ms, bound 1 ms$/),
  });
});
