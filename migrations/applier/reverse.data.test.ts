import { afterEach, expect, test } from '@jest/globals';
import { readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { findDrift } from '../engine/capture/drift.ts';
import { installCapture } from '../engine/capture/install-capture.ts';
import { closeFence, type FenceMoveOutcome, openFence } from '../engine/fence/move-fence.ts';
import { isCanary, readCanary, sendCanary } from '../engine/pipe/canary.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import { capturePlans } from '../engine/stages/measure.ts';
import { verifyTable } from '../engine/verify/verify.ts';
import { hearApplied } from '../testing/hear-applied.ts';
import { type Pipe, type PipeProcess, startPipe } from '../testing/start-pipe.ts';
import { isReady, seed, troubled } from './applier.fixture.ts';
import { drawFences, movedRows, parts, startServiceWriters } from './parts.fixture.ts';

let pipe: Pipe;
afterEach(async () => {
  await pipe?.close();
});

const moved = async (outcome: Promise<FenceMoveOutcome>) => expect(await outcome).toMatchObject({ kind: 'moved' });

/** A pipe in both directions whose writes are the service's, with rows from before. */
async function startMoved(label: string): Promise<void> {
  pipe = await startPipe({ label, ...parts });
  const { source } = pipe;
  await source.pool.query(
    `INSERT INTO parts VALUES ${Array.from({ length: 30 }, (_, at) => `(${Math.floor(at / 10)}, 'c${at % 10}', NULL, ${at}.50, 'm', 'x', 'shelf ${at}')`).join(', ')}`,
  );
  await source.pool.query("INSERT INTO makers VALUES (1, 'ann')");
  await pipe.empty();
  await drawFences(pipe);
  await pipe.setStage('reads');
  await isReady(pipe.appliers[0]);
  await pipe.installReverse(2);
  await pipe.startReverseRelay();
  const slice = pipe.slice.slice;
  await moved(closeFence(pipe.open('forward').source.write, { slice, epoch: 2, owner: 'service' }));
  await pipe.empty();
  await moved(openFence(pipe.open('reverse').source.write, { slice, epoch: 2, owner: 'service' }));
  await pipe.setStage('writes');
}

/** Changes of tables that move, in one end's outbox. */
const captured = async (end: 'source' | 'target') =>
  (
    await rowsOf<{ topic: string }>(
      pipe[end].pool,
      `SELECT topic FROM ${outboxTable} WHERE kind = 'row' AND subject IN ('parts', 'items', 'notes') ORDER BY id`,
    )
  ).map(({ topic }) => topic);

/** What a comparison of the way back finds, by the service's tables. */
async function differences(): Promise<Record<string, number>> {
  const { tables, source, target } = pipe.open('reverse');
  const found: Record<string, number> = {};
  for (const table of await tables()) {
    if (isCanary(table)) continue;
    for await (const event of verifyTable({ table, source: source.read, target: target.read })) {
      if (event.kind === 'done') found[table.mapping.source] = event.differences + event.unsettled;
    }
  }
  return found;
}

async function bothEmpty(): Promise<void> {
  await pipe.empty({ direction: 'reverse' });
  await pipe.empty();
}

async function equalEnds(): Promise<void> {
  const [monolith, service] = await movedRows(pipe);
  expect(monolith).toEqual(service);
}

test('what the service writes comes back through the closed fence, row for row, and nothing of it goes round', async () => {
  await startMoved('back');
  const { source, target } = pipe;
  const [applier] = pipe.appliers as [PipeProcess];
  const heard = await hearApplied(pipe);
  const before = await captured('source');
  const writers = startServiceWriters(pipe, { seed });
  await eventually(() => writers.commits() > 150, { withinMs: 60_000 });

  const refused = await source.pool.query('UPDATE parts SET price = 0').catch((error: unknown) => error);
  expect(readFenceRefusal(refused)).toMatchObject({ because: 'closed', owner: 'service' });
  // Whose table stays the monolith's is written there, and flows forward beside.
  await source.pool.query("UPDATE makers SET name = 'bob'");
  await eventually(async () => expect(await rowsOf(target.pool, 'SELECT name FROM makers')).toEqual([{ name: 'bob' }]));
  await writers.stop();
  // A row that is taken away and added again is a new one to columns that only the monolith has.
  await target.pool.query('INSERT IGNORE INTO items (sku, branch, price, label) VALUES (\'c1\', 0, 1, \'["m","x"]\')');
  await target.pool.query("DELETE FROM items WHERE sku = 'c1' AND branch = 0");
  await target.pool.query('INSERT INTO items (sku, branch, price, label) VALUES (\'c1\', 0, 7, \'["new","one"]\')');
  await bothEmpty();
  await isReady(applier);
  await equalEnds();

  expect(await differences()).toEqual({ items: 0, notes: 0 });

  expect(await captured('source')).toEqual(before);
  const pipeName = `${pipe.slice.slice}-reverse`;
  expect((await captured('target')).filter((topic) => !topic.startsWith(`${pipeName}.`))).toEqual([]);
  expect(new Set(heard.map(({ table }) => table))).toEqual(new Set(['makers']));
  const shelves = await rowsOf<{ shop: number; code: string; shelf: string }>(source.pool, 'SELECT * FROM parts');
  for (const { shop, code, shelf } of shelves) {
    expect([`shelf ${shop * 10 + Number(code.slice(1))}`, 'unshelved']).toContain(shelf);
  }
  expect(shelves.some(({ shelf }) => shelf !== 'unshelved')).toBe(true);
  expect(shelves.find(({ shop, code }) => shop === 0 && code === 'c1')).toMatchObject({
    shelf: 'unshelved',
    maker: 'new',
    model: 'one',
  });
  for (const direction of ['forward', 'reverse'] as const) expect(await pipe.deadLetters(direction)).toEqual([]);
}, 180_000);

test('a canary goes round each way, and its capture is no drift', async () => {
  await startMoved('canary');
  const slice = pipe.slice.slice;
  const forward = pipe.open('forward');
  await installCapture(forward.source.write, {
    slice,
    database: pipe.source.name,
    epoch: 2,
    plans: capturePlans(slice, await forward.captured()),
  });
  for (const [direction, token] of [
    ['reverse', 'one'],
    ['forward', 'two'],
    ['reverse', 'three'],
  ] as const) {
    const databases = pipe.open(direction);
    await sendCanary(databases.source.write, slice, token);
    await eventually(async () => (await readCanary(databases.target.read, slice)) === token, { withinMs: 60_000 });
  }
  await bothEmpty();
  const plans = capturePlans(slice, await forward.tables());
  expect(await findDrift(forward.source.read, pipe.source.name, slice, plans)).toEqual([]);
  const reverse = pipe.open('reverse');
  const back = capturePlans(reverse.slice.slice, await reverse.tables());
  expect(await findDrift(reverse.source.read, pipe.target.name, reverse.slice.slice, back)).toEqual([]);
}, 180_000);

test('a fence that is opened and closed again, with appliers that are killed, neither loses nor dead-letters anything', async () => {
  await startMoved('redrawn');
  const slice = pipe.slice.slice;
  const fenced = pipe.open('forward').source.write;
  const writers = startServiceWriters(pipe, { seed, restMs: 6 });
  for (let epoch = 3; epoch < 9; epoch += 1) {
    const commits = writers.commits();
    await eventually(() => writers.commits() > commits + 20, { withinMs: 60_000 });
    await moved(openFence(fenced, { slice, epoch, owner: 'service' }));
    if (epoch === 4) await troubled(pipe.appliers.at(-1), /fence: strangler fence: /, 'reverse');
    if (epoch % 3 === 0) await pipe.appliers.at(-1)?.kill();
    await moved(closeFence(fenced, { slice, epoch, owner: 'service' }));
    if (epoch % 3 === 0) await pipe.startApplier();
    // Drawn anew while it is closed.
    if (epoch === 5) await moved(closeFence(fenced, { slice, epoch: epoch + 1, owner: 'service' }));
  }
  await writers.stop();
  await bothEmpty();
  await isReady(pipe.appliers.at(-1));
  await equalEnds();
  expect(await pipe.deadLetters('reverse')).toEqual([]);
}, 180_000);
