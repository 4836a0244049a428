import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessIdentity } from '../addresses.ts';
import { identify, isAlive } from './identity.ts';

export type LockOptions = {
  waitMs: number;
  what: string;
  onWait?: (holder: ProcessIdentity) => void;
  signal?: AbortSignal | undefined;
};

/**
 * Runs `work` while holding the lock file. The file names its owner's process, so the lock of one that died is taken
 * over. Throws when the lock is not to be had within `waitMs`.
 */
export async function withLock<T>(file: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const release = await acquire(file, options);
  try {
    return await work();
  } finally {
    release();
  }
}

/** Who holds the lock, alive or not; undefined when nobody does. */
export function lockHolder(file: string): ProcessIdentity | undefined {
  const content = read(file);
  return content === undefined ? undefined : parse(content);
}

let attempts = 0;

async function acquire(file: string, options: LockOptions): Promise<() => void> {
  const me = identify(process.pid);
  if (me === undefined) throw new Error('this system has no /proc, by which lock owners are told apart');
  // The number tells two holders within one process apart.
  const mine = JSON.stringify({ ...me, attempt: ++attempts });
  const deadline = Date.now() + options.waitMs;
  let told = false;
  mkdirSync(dirname(file), { recursive: true });
  for (;;) {
    options.signal?.throwIfAborted();
    if (createWhole(file, mine)) {
      return () => {
        if (read(file) === mine) rmSync(file, { force: true });
      };
    }
    const content = read(file);
    if (content === undefined) continue;
    const holder = parse(content);
    if (holder === undefined || !isAlive(holder)) {
      removeIfStill(file, content);
      continue;
    }
    if (Date.now() > deadline) {
      throw new Error(
        `${options.what} is locked by process ${holder.pid} for more than ${Math.round(options.waitMs / 1000)} s; wait for it or end it, then run again (lock: ${file})`,
      );
    }
    if (!told) options.onWait?.(holder);
    told = true;
    await sleep(100);
  }
}

/** Creates the file with its whole content, or not at all where there is one already. */
function createWhole(file: string, content: string): boolean {
  const temporary = `${file}.${process.pid}.${attempts}.part`;
  writeFileSync(temporary, content);
  try {
    linkSync(temporary, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Takes a dead owner's lock away, but not the one that somebody else has put there since it was read. */
function removeIfStill(file: string, content: string): void {
  const aside = `${file}.${process.pid}.stale`;
  try {
    renameSync(file, aside);
    if (read(aside) !== content) linkSync(aside, file);
    rmSync(aside, { force: true });
  } catch {
    // Somebody else was quicker; the next round sees what there is now.
  }
}

function parse(content: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(content) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
