import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Log } from '../log.ts';

/** What files hold, read again when they change. */
export type FollowedFiles<T> = {
  now(): T;
  /** Looks at once, unless it was asked to a moment ago; resolves when it has looked. */
  refresh(): Promise<void>;
  stop(): void;
};

export type FollowedFilesOptions<T> = {
  paths: readonly string[];
  /** Throws for what is not good: what was read before then goes on being used. */
  read(texts: readonly string[]): Promise<T> | T;
  /** For logs: what the files are. */
  name: string;
  everyMs?: number;
  log: Log;
  onChange?(value: T): void;
  onOutcome?(outcome: 'loaded' | 'refused'): void;
};

const defaultEveryMs = 1_000;
/** Questions of strangers must not become load on the disk. */
const refreshAtMostEveryMs = 200;

/**
 * Reads files now, and every second again: a look that needs no notification works on every mount, whether a file is replaced, written
 * over or reached by a link that is moved. Files that cannot be read, or are not good, are refused loudly, and the last good ones
 * are kept. Rejects where the first ones are not good.
 */
export async function followFiles<T>(options: FollowedFilesOptions<T>): Promise<FollowedFiles<T>> {
  const { paths, read, name, everyMs = defaultEveryMs, log, onChange, onOutcome } = options;
  let texts = paths.map((path) => readFileSync(path, 'utf8'));
  let value = await read(texts);
  onOutcome?.('loaded');
  let refused = '';
  let stopped = false;
  let looking: Promise<void> | undefined;
  let refreshedAtMs = Number.NEGATIVE_INFINITY;

  const look = async (): Promise<void> => {
    try {
      const found = await Promise.all(paths.map((path) => readFile(path, 'utf8')));
      if (stopped || same(found, texts)) {
        refused = '';
        return;
      }
      const next = await read(found);
      texts = found;
      value = next;
      refused = '';
      log.info({ files: paths }, `${name}: read again after a change`);
      onOutcome?.('loaded');
      onChange?.(next);
    } catch (error) {
      const { message } = error as Error;
      if (message === refused) return;
      refused = message;
      onOutcome?.('refused');
      log.error({ reason: message, files: paths }, `${name}: a change is refused, and what was read before is kept`);
    }
  };
  const lookOnce = (): Promise<void> => {
    looking ??= look().finally(() => {
      looking = undefined;
    });
    return looking;
  };
  const timer = setInterval(() => void lookOnce(), everyMs);
  timer.unref();

  return {
    now: () => value,
    refresh: async () => {
      if (performance.now() - refreshedAtMs < refreshAtMostEveryMs) return looking;
      refreshedAtMs = performance.now();
      // One that is under way may have read before the change.
      await looking;
      await lookOnce();
    },
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.every((text, at) => text === b[at]);
}
