import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { identify } from './identity.ts';
import { withLock } from './lock.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-'));
  file = join(folder, 'deep', 'lock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options = { waitMs: 10_000, what: 'the test' };

describe('a lock', () => {
  test('lets one in at a time and is gone afterwards', async () => {
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 8 }, () =>
        withLock(file, options, async () => {
          most = Math.max(most, ++inside);
          await sleep(5);
          inside--;
        }),
      ),
    );
    expect(most).toBe(1);
    expect(existsSync(file)).toBe(false);
  });

  test('is released when the work fails', async () => {
    await expect(withLock(file, options, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await withLock(file, options, async () => 'in')).toBe('in');
  });

  test.each([
    ['a process that has ended', () => ({ pid: 4_194_304, startTime: '1', bootId: 'x' })],
    ['another process that had this number', () => ({ ...identify(process.pid), startTime: '1' })],
    ['this process before the machine was started anew', () => ({ ...identify(process.pid), bootId: 'x' })],
  ])('of %s is taken over', async (_whose, owner) => {
    await withLock(file, options, async () => {});
    writeFileSync(file, JSON.stringify(owner()));
    expect(await withLock(file, options, async () => 'in')).toBe('in');
  });

  test('that is not readable as one is taken over', async () => {
    await withLock(file, options, async () => {});
    writeFileSync(file, '');
    expect(await withLock(file, options, async () => 'in')).toBe('in');
  });

  test('that is held for too long is reported with its holder', async () => {
    await withLock(file, options, async () => {
      const waiting = withLock(file, { waitMs: 50, what: 'the kitchen' }, async () => {});
      await expect(waiting).rejects.toThrow(new RegExp(`the kitchen is locked by process ${process.pid}`));
    });
  });

  test('is not waited for once the wait is called off', async () => {
    await withLock(file, options, async () => {
      const controller = new AbortController();
      const waiting = withLock(file, { ...options, signal: controller.signal }, async () => {});
      controller.abort(new Error('enough'));
      await expect(waiting).rejects.toThrow('enough');
    });
  });
});
