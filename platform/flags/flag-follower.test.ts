import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '../log.ts';
import { eventually } from '../testing/servers.ts';
import { changeFlag } from './change-flag.ts';
import { createFileFlagStore } from './file-store.ts';
import { type FlagFollower, followFlags } from './flag-follower.ts';
import type { FlagEvent } from './merge-listing.ts';
import type { FlagStore } from './store.ts';

const log = createLog({ name: 'test', level: 'silent' });
const author = { by: 'ada', reason: 'trying' };

describe('a follower of flags', () => {
  let folder: string;
  let stopping: AbortController;
  let store: FlagStore;
  let followers: FlagFollower[];
  beforeEach(async () => {
    followers = [];
    folder = await mkdtemp(join(tmpdir(), 'follower-'));
    stopping = new AbortController();
    store = createFileFlagStore(join(folder, 'store.json'));
  });
  afterEach(async () => {
    stopping.abort();
    // What one still writes down would be written into a folder that is being removed.
    await Promise.all(followers.map((follower) => follower.persisted()));
    await rm(folder, { recursive: true });
  });

  const directory = () => join(folder, 'known');
  const follow = (from: FlagStore, onEvent?: (event: FlagEvent) => void, signal = stopping.signal) => {
    const asked = { store: from, log, signal, directory: directory(), ...(onEvent ? { onEvent } : {}) };
    const follower = followFlags(asked);
    followers.push(follower);
    return follower;
  };
  const setReads = (percent: number) =>
    changeFlag(store, 'catalog', (document) => ({ ...document, reads: { percent, cohorts: [] } }), author);
  const awayStore: FlagStore = {
    ...createFileFlagStore('/nowhere/flags.json'),
    watch: ({ onError }, signal) => {
      if (!signal.aborted) setImmediate(() => onError(new Error('connect ECONNREFUSED'), 100));
    },
  };

  test('obeys what stands, and every change', async () => {
    await setReads(10);
    const follower = follow(store);
    await follower.ready;
    expect(follower.flagOf('catalog')?.reads.percent).toBe(10);
    expect(follower.source()).toBe('store');
    await setReads(20);
    await eventually(() => expect(follower.flagOf('catalog')?.reads.percent).toBe(20));
  });

  test('starts from the last known flags while the store is away', async () => {
    await setReads(70);
    const first = new AbortController();
    const before = follow(store, undefined, first.signal);
    await before.ready;
    await before.persisted();
    first.abort();

    const after = follow(awayStore);
    await after.ready;
    expect(after.source()).toBe('disk');
    expect(after.flagOf('catalog')?.reads.percent).toBe(70);
  });

  test('is not ready while it knows nothing and the store is away', async () => {
    const errors: Error[] = [];
    const follower = followFlags({
      store: {
        ...awayStore,
        watch: ({ onError }) =>
          void setImmediate(() => onError(errors[0] ?? errors[errors.push(new Error('away')) - 1]!, 1)),
      },
      log,
      signal: stopping.signal,
      directory: directory(),
    });
    await eventually(() => expect(errors).toHaveLength(1));
    expect(
      await Promise.race([follower.ready.then(() => 'ready'), new Promise((done) => setImmediate(done, 'waiting'))]),
    ).toBe('waiting');
    expect(follower.source()).toBe('nowhere');
  });

  test('keeps every change it ever saw in its own log, whatever becomes of the store', async () => {
    const follower = follow(store);
    await follower.ready;
    for (const percent of [10, 50, 0]) {
      await setReads(percent);
      await eventually(() => expect(follower.flagOf('catalog')?.reads.percent).toBe(percent));
    }
    await rm(join(folder, 'store.json'));
    await follower.persisted();
    const lines = (await readFile(join(directory(), 'flag-changes.jsonl'), 'utf8')).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).reads.percent)).toEqual([10, 50, 0]);
  });

  test('refuses a broken document once, loudly, and keeps the last good one', async () => {
    await setReads(30);
    const events: FlagEvent[] = [];
    const follower = follow(store, (event) => events.push(event));
    await follower.ready;
    await writeFile(join(folder, 'store.json'), '{"catalog":{"reads":{"percent":900}}}');
    await eventually(() => expect(events.map((event) => event.kind)).toEqual(['changed', 'refused']));
    expect(follower.flagOf('catalog')?.reads.percent).toBe(30);
  });

  test('passes over an unreadable folder of last known flags and follows the store', async () => {
    await setReads(40);
    await writeFile(directory(), 'a file where a folder should be');
    const follower = follow(store);
    await follower.ready;
    expect(follower.flagOf('catalog')?.reads.percent).toBe(40);
  });
});
