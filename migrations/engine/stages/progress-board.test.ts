import { expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import type { BackfillEvent } from '../backfill/backfill.ts';
import { createProgressBoard, progressAfter, progressKey, readProgress } from './progress-board.ts';
import type { StageEvent } from './stage-work.ts';

const chunk = (kind: 'chunk' | 'done', rowsRead: number): StageEvent => {
  const counts = { rowsRead, rowsWritten: rowsRead, rowsParked: 0, rowsEstimate: 100, rowsPerSecond: 9.6, etaMs: 5 };
  return { kind: 'backfill', event: { kind, table: 'items', ...counts } satisfies BackfillEvent };
};

const board = () => {
  const kept = new Map<string, string>();
  const kv = {
    put: async (key: string, value: string) => {
      kept.set(key, value);
      return true;
    },
    get: async (key: string) => {
      const value = kept.get(key);
      return value === undefined ? undefined : { value, modifyIndex: 1 };
    },
  };
  return { kept, kv };
};

test('what is put up can be read back, and the last event is never lost', async () => {
  const { kv } = board();
  const progress = createProgressBoard(kv, 'shop', createLog({ name: 'test', level: 'silent' }), 60_000);
  for (const event of [chunk('chunk', 10), chunk('chunk', 20), chunk('done', 30)]) progress.note(event);
  await progress.close();
  expect(await readProgress(kv, 'shop')).toMatchObject({
    slice: 'shop',
    tables: { items: { work: 'backfill', state: 'done', rows: 30, rowsEstimate: 100, rowsPerSecond: 10 } },
  });
});

test('a step tells of no progress, and nonsense in the store is none', async () => {
  const none = { slice: 'shop', tables: {} };
  expect(progressAfter(none, { kind: 'step', where: 'source', what: 'x' }, new Date())).toBe(none);
  const { kv, kept } = board();
  kept.set(progressKey('shop'), '{"slice":1}');
  expect(await readProgress(kv, 'shop')).toBeUndefined();
  expect(await readProgress(kv, 'other')).toBeUndefined();
});

test('a store that refuses stops nothing', async () => {
  const refuses = { put: () => Promise.reject(new Error('away')) };
  const progress = createProgressBoard(refuses, 'shop', createLog({ name: 'test', level: 'silent' }));
  progress.note(chunk('chunk', 1));
  await expect(progress.close()).resolves.toBeUndefined();
});
