import { createHash } from 'node:crypto';
import { watch as watchFolder } from 'node:fs';
import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { lock } from 'proper-lockfile';
import { type FlagDocument, FlagDocumentError, parseFlagDocument } from '../contracts/flag-document.ts';
import type { FlagListing, FlagStore, StoredFlag } from './store.ts';

/** How long a change can go unseen where the file system tells nobody of it (network folders). */
const pollMs = 500;

/**
 * Flags in one JSON file, `{ "<slice>": { …document… } }`, with their history beside it: for trying things out on one machine.
 * The file may be edited by hand; what does not parse is refused and told, and the rest is obeyed.
 */
export const createFileFlagStore = (path: string): FlagStore => {
  const file = resolve(path);
  const historyFile = `${file.replace(/\.json$/, '')}.history.jsonl`;

  const list = async (): Promise<FlagListing> => readListing(await readOrEmpty(file), file);

  const get = async (slice: string): Promise<StoredFlag | undefined> => {
    const { flags, refused } = await list();
    const fault = refused.get(slice) ?? refused.get('*');
    if (fault !== undefined) throw fault;
    return flags.get(slice);
  };

  const put: FlagStore['put'] = async (document, expected) => {
    await mkdir(dirname(file), { recursive: true });
    const release = await lock(file, {
      realpath: false,
      stale: 10_000,
      retries: { retries: 100, minTimeout: 5, maxTimeout: 100 },
    });
    try {
      const stored = await get(document.slice);
      if ((stored?.index ?? null) !== expected) return 'conflict';
      const all = JSON.parse((await readOrEmpty(file)) || '{}');
      all[document.slice] = document;
      await appendFile(historyFile, `${JSON.stringify(document)}\n`);
      await replaceFile(file, `${JSON.stringify(all, null, 2)}\n`);
      return 'written';
    } finally {
      await release();
    }
  };

  const history = async (slice: string, limit: number): Promise<FlagDocument[]> => {
    const entries = (await readOrEmpty(historyFile)).split('\n').filter((line) => line !== '');
    return entries
      .map((line) => parseFlagDocument(line, historyFile))
      .filter((document) => document.slice === slice)
      .reverse()
      .slice(0, limit);
  };

  const watch: FlagStore['watch'] = (watcher, signal) => {
    let seen: string | undefined;
    let healthy = true;
    let reading: Promise<void> = Promise.resolve();
    const look = (): Promise<void> => {
      reading = reading.then(async () => {
        if (signal.aborted) return;
        try {
          const text = await readOrEmpty(file);
          if (!healthy) watcher.onHealthy?.();
          healthy = true;
          if (text === seen || signal.aborted) return;
          seen = text;
          watcher.onChange(readListing(text, file));
        } catch (error) {
          healthy = false;
          watcher.onError(error as Error, pollMs);
        }
      });
      return reading;
    };
    void notifyOfChanges(file, look, signal);
    void (async () => {
      while (!signal.aborted) {
        await look();
        await delay(pollMs, undefined, { signal }).catch(() => undefined);
      }
    })();
  };

  return { location: `file://${file}`, get, list, put, history, watch };
};

/** The folder is watched, not the file: a rename replaces the file and would end a watch on it. */
const notifyOfChanges = async (file: string, look: () => Promise<void>, signal: AbortSignal): Promise<void> => {
  await mkdir(dirname(file), { recursive: true }).catch(() => undefined);
  if (signal.aborted) return;
  try {
    const folder = watchFolder(dirname(file), { signal }, (_event, name) => {
      if (name === null || name === basename(file)) void look();
    });
    folder.on('error', () => folder.close());
  } catch {
    // Without notifications the poll alone sees the change, half a second later.
  }
};

const readListing = (text: string, file: string): FlagListing => {
  const flags = new Map<string, StoredFlag>();
  const refused = new Map<string, FlagDocumentError>();
  let all: unknown;
  try {
    all = text.trim() === '' ? {} : JSON.parse(text);
  } catch (cause) {
    refused.set('*', new FlagDocumentError(`${file}: expected JSON, ${(cause as Error).message}`, { cause }));
    return { flags, refused };
  }
  if (typeof all !== 'object' || all === null || Array.isArray(all)) {
    refused.set(
      '*',
      new FlagDocumentError(`${file}: expected an object of flag documents by slice, { "<slice>": { … } }`),
    );
    return { flags, refused };
  }
  for (const [slice, value] of Object.entries(all)) {
    const document = JSON.stringify(value);
    try {
      const parsed = parseFlagDocument(document, `${file} ${slice}`);
      if (parsed.slice !== slice)
        throw new FlagDocumentError(`${file} ${slice}: slice: must be "${slice}", found "${parsed.slice}"`);
      flags.set(slice, { document: parsed, index: createHash('sha256').update(document).digest('hex') });
    } catch (error) {
      refused.set(slice, error as FlagDocumentError);
    }
  }
  return { flags, refused };
};

const readOrEmpty = async (file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
};

/** A reader sees the old text or the new one, never half of it. */
const replaceFile = async (file: string, text: string): Promise<void> => {
  const next = `${file}.${process.pid}.next`;
  await writeFile(next, text, { flush: true });
  await rename(next, file);
};
