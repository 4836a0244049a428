import { describe, expect, test } from '@jest/globals';
import type { RowMessage } from '@strangler/platform/contracts/row-message.ts';
import fc from 'fast-check';
import { FloorGone } from '../engine/apply/applier.ts';
import type { ApplyFault } from './faults.ts';
import { createGather, type GatherOptions, type PartBatch } from './gather.ts';

const message = (keyText: string): RowMessage => ({
  slice: 's',
  table: 't',
  op: 'delete',
  key: { id: keyText },
  keyText,
  image: null,
  version: { epoch: 1, id: '1' },
  at: '2026-11-21T08:45:42.000001Z',
  writer: { user: 'u' },
});

const batchOf = (queue: string, rows: number): PartBatch => ({
  queue,
  messages: Array.from({ length: rows }, (_, at) => message(`${queue}-${at}`)),
});

const backoff = { baseMs: 1, capMs: 4 };
const lost = () => Object.assign(new Error('connection lost'), { code: 'PROTOCOL_CONNECTION_LOST' });
const odd = () => Object.assign(new Error('something else'), { errno: 3_999 });

function gatherOf(apply: (batches: readonly PartBatch[]) => Promise<void>, more: Partial<GatherOptions> = {}) {
  const faults: ApplyFault[] = [];
  const ends: ApplyFault[] = [];
  const gather = createGather({
    async apply(batches) {
      await apply(batches);
      const present = batches.flatMap(({ messages }) => messages);
      return { applied: present.length, duplicates: 0, parked: 0, refused: [], present };
    },
    whenIdle: async () => {},
    onFault: (fault) => faults.push(fault),
    onEnd: (fault) => ends.push(fault),
    backoff,
    ...more,
  });
  return { gather, faults, ends };
}

describe('batches of several parts', () => {
  test('that come while a transaction runs go together into the next', async () => {
    const first = Promise.withResolvers<void>();
    const runs: string[][] = [];
    const { gather } = gatherOf(async (batches) => {
      runs.push(batches.map(({ queue }) => queue));
      if (runs.length === 1) await first.promise;
    });
    const results = [gather.add(batchOf('a', 1))];
    await Promise.resolve();
    for (const queue of ['b', 'c', 'd']) results.push(gather.add(batchOf(queue, 2)));
    first.resolve();
    await expect(Promise.all(results)).resolves.toMatchObject(results.map(() => ({ kind: 'applied' })));
    expect(runs).toEqual([['a'], ['b', 'c', 'd']]);
    await gather.stop();
  });

  test('go together up to the given number of rows, in the order in which they came', async () => {
    const first = Promise.withResolvers<void>();
    const runs: string[][] = [];
    const { gather } = gatherOf(
      async (batches) => {
        runs.push(batches.map(({ queue }) => queue));
        if (runs.length === 1) await first.promise;
      },
      { maxRows: 10 },
    );
    const results = [gather.add(batchOf('a', 1))];
    await Promise.resolve();
    for (const [queue, rows] of [
      ['b', 6],
      ['c', 6],
      ['d', 4],
      ['e', 20],
    ] as const) {
      results.push(gather.add(batchOf(queue, rows)));
    }
    first.resolve();
    await Promise.all(results);
    expect(runs).toEqual([['a'], ['b', 'd'], ['c'], ['e']]);
    await gather.stop();
  });

  test('are all applied at last, each once, whatever fails how often', async () => {
    const failures = fc.array(fc.constantFrom('lost', 'odd', 'none'), { maxLength: 12 });
    const batches = fc.array(fc.record({ part: fc.nat(15), rows: fc.integer({ min: 1, max: 300 }) }), {
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(failures, batches, async (plan, parts) => {
        const left = [...plan];
        const applied: PartBatch[] = [];
        const { gather, ends } = gatherOf(async (together) => {
          const fails = left.shift();
          await Promise.resolve();
          if (fails === 'lost') throw lost();
          if (fails === 'odd') throw odd();
          applied.push(...together.map(({ queue, messages }) => ({ queue, messages })));
        });
        const given = parts.map(({ part, rows }) => batchOf(`p${part}`, rows));
        const results = await Promise.all(given.map((batch) => gather.add(batch)));
        expect(results.every(({ kind }) => kind === 'applied')).toBe(true);
        expect(applied.map(({ messages }) => messages)).toHaveLength(given.length);
        expect(new Set(applied.map(({ messages }) => messages))).toEqual(
          new Set(given.map(({ messages }) => messages)),
        );
        expect(gather.trouble()).toBeUndefined();
        expect(ends).toEqual([]);
        await gather.stop();
      }),
      { numRuns: 60 },
    );
  });
});

describe('what fails', () => {
  test('because the target is away keeps all waiting, and tells so', async () => {
    let away = true;
    let asked = 0;
    const { gather, faults } = gatherOf(async () => {
      asked += 1;
      if (away) throw lost();
    });
    const results = ['a', 'b', 'c'].map((queue) => gather.add(batchOf(queue, 1)));
    while (asked < 5) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(gather.trouble()).toEqual({ cause: 'target', message: 'connection lost' });
    expect(faults.every(({ remedy }) => remedy === 'wait')).toBe(true);
    away = false;
    await Promise.all(results);
    expect(gather.trouble()).toBeUndefined();
    await gather.stop();
  });

  test('for a reason of one part’s own keeps that part waiting and no other', async () => {
    let mended = false;
    const { gather } = gatherOf(async (batches) => {
      if (!mended && batches.some(({ queue }) => queue === 'bad')) throw odd();
    });
    const bad = gather.add(batchOf('bad', 1));
    await expect(Promise.all(['a', 'b'].map((queue) => gather.add(batchOf(queue, 1))))).resolves.toHaveLength(2);
    for (let n = 0; n < 5; n += 1) await gather.add(batchOf('c', 1));
    while (gather.trouble() === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
    expect(gather.trouble()).toEqual({ cause: 'other', message: 'something else' });
    mended = true;
    await expect(bad).resolves.toMatchObject({ kind: 'applied' });
    await gather.stop();
  });

  test('until all is begun anew is left, and nothing more is begun when it is stopped', async () => {
    const { gather, ends } = gatherOf(async () => {
      throw new FloorGone('s.apply');
    });
    await expect(gather.add(batchOf('a', 1))).resolves.toEqual({ kind: 'left' });
    expect(ends).toMatchObject([{ cause: 'floor' }]);
    await gather.stop();
    await expect(gather.add(batchOf('b', 1))).resolves.toEqual({ kind: 'left' });
  });
});

test('stopping leaves what waits and waits for what is under way', async () => {
  const under = Promise.withResolvers<void>();
  const { gather } = gatherOf(() => under.promise);
  const [first, second] = [gather.add(batchOf('a', 1)), Promise.resolve().then(() => gather.add(batchOf('b', 1)))];
  await Promise.resolve();
  const stopped = gather.stop();
  await expect(second).resolves.toEqual({ kind: 'left' });
  under.resolve();
  await stopped;
  await expect(first).resolves.toMatchObject({ kind: 'applied' });
});

test('while nothing comes, what waits elsewhere is looked at now and then', async () => {
  let looked = 0;
  const whenIdle = async () => {
    looked += 1;
  };
  const { gather } = gatherOf(async () => {}, { whenIdle, idleEveryMs: 2 });
  while (looked < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  await gather.stop();
});
