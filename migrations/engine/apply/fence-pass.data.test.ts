import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import type { RowMessage } from '@strangler/platform/contracts/row-message.ts';
import { pino } from 'pino';
import { backfillTable } from '../backfill/backfill.ts';
import { planFence } from '../fence/fence-plan.ts';
import { installFence, removeFence } from '../fence/install-fence.ts';
import { closeFence, openFence } from '../fence/move-fence.ts';
import { rowsOf } from '../schema/queryable.ts';
import { type Applier, createApplier } from './applier.ts';
import { mapped, rowMessage } from './fixture.ts';
import { backfillTable as checkpointTable, parkedTable, versionsTable } from './own-tables.ts';
import { openSides, type PipeSides } from './pipe.fixture.ts';
import type { MappedTable } from './row-shape.ts';

const log = pino({ level: 'silent' });
const slice = 'fixture';
let sides: PipeSides;
let plain: MappedTable;
let other: MappedTable;
let epoch = 0;

beforeAll(async () => {
  sides = await openSides('fence_pass');
  for (const pool of [sides.source, sides.target]) {
    await pool.query('CREATE TABLE plain (id INT PRIMARY KEY, email VARCHAR(9) NULL UNIQUE)');
    await pool.query('CREATE TABLE other (id INT PRIMARY KEY, email VARCHAR(9) NULL)');
  }
  plain = await mapped(sides, { source: 'plain' });
  other = await mapped(sides, { source: 'other' });
});
beforeEach(async () => {
  await removeFence(sides.target, { slice, database: sides.targetDatabase });
  for (const table of ['plain', 'other', versionsTable, parkedTable, checkpointTable]) {
    await sides.target.query(`DELETE FROM ${table}`);
  }
});
afterAll(() => sides?.close());

const newApplier = (): Applier => createApplier({ pool: sides.applyTarget, tables: [plain, other], log });
const put = (id: number, email: string | null, table = 'plain'): RowMessage => {
  version += 1;
  return rowMessage(table, 'upsert', { id: `${id}` }, { id: `${id}`, email }, { epoch: 1, id: `${version}` });
};
let version = 0;

async function drawFence(state: 'open' | 'closed'): Promise<void> {
  epoch += 1;
  await installFence(sides.target, {
    slice,
    database: sides.targetDatabase,
    initially: { state, epoch, owner: 'monolith' },
    plans: [planFence({ slice, table: plain.target })],
  });
}
const move = async (to: typeof closeFence) => {
  epoch += 1;
  expect(await to(sides.target, { slice, epoch, owner: 'monolith' })).toMatchObject({ kind: 'moved' });
};

const emails = async (table = 'plain') =>
  (await rowsOf<{ id: number; email: string | null }>(sides.target, `SELECT id, email FROM ${table} ORDER BY id`)).map(
    ({ id, email }) => `${id} ${email}`,
  );

describe('an applier', () => {
  test('is let through a fence that was closed before it began, while it was at work, and anew', async () => {
    await drawFence('closed');
    const early = newApplier();
    expect(await early.apply([put(1, 'a')])).toMatchObject({ applied: 1, refused: [] });
    await move(closeFence);
    expect(await early.apply([put(1, 'b')])).toMatchObject({ applied: 1, refused: [] });
    await removeFence(sides.target, { slice, database: sides.targetDatabase });
    const unaware = newApplier();
    expect(await unaware.apply([put(2, 'c')])).toMatchObject({ applied: 1 });
    expect(await early.apply([put(1, 'd')])).toMatchObject({ applied: 1 });
    await drawFence('closed');
    expect(await unaware.apply([put(2, 'e')])).toMatchObject({ applied: 1 });
    expect(await early.apply([put(1, 'f')])).toMatchObject({ applied: 1 });
    expect(await emails()).toEqual(['1 f', '2 e']);
  });

  test('writes nothing where the fence takes no rows of the pipe, refuses no change for that, and goes on after', async () => {
    await drawFence('open');
    const applier = newApplier();
    const messages = [put(1, 'a'), put(2, 'b')];
    const error = await applier.apply(messages).catch((reason: unknown) => reason);
    expect(readFenceRefusal(error)).toMatchObject({ because: 'owned' });
    // A table without a fence is nobody else's.
    expect(await applier.apply([put(1, 'x', 'other')])).toMatchObject({ applied: 1 });
    expect([await emails(), await emails('other')]).toEqual([[], ['1 x']]);
    await move(closeFence);
    expect(await applier.apply(messages)).toMatchObject({ applied: 2, refused: [], parked: 0 });
  });

  test('tries what waits for a unique value under the pass, too', async () => {
    await drawFence('closed');
    const applier = newApplier();
    await applier.apply([put(1, 'a')]);
    expect(await applier.apply([put(2, 'a')])).toMatchObject({ parked: 1 });
    await move(openFence);
    await sides.target.query("UPDATE plain SET email = 'z' WHERE id = 1");
    await move(closeFence);
    expect(await applier.retryParked()).toBe(0);
    expect(await emails()).toEqual(['1 z', '2 a']);
  });
});

test('a copy is let through a closed fence', async () => {
  await sides.source.query("REPLACE INTO plain VALUES (1, 'a'), (2, 'b'), (3, 'c')");
  await drawFence('closed');
  const copied = backfillTable({ table: plain, source: sides.readSource, target: sides.applyTarget, log });
  const events: string[] = [];
  for await (const { kind } of copied) {
    // Drawn anew under way, it is presented anew.
    if (events.length === 0) await move(closeFence);
    events.push(kind);
  }
  expect(events.at(-1)).toBe('done');
  expect(await emails()).toEqual(['1 a', '2 b', '3 c']);
});
