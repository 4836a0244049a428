import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type FlagDocument, parseFlagDocument } from '../contracts/flag-document.ts';
import type { Log } from '../log.ts';
import { type FlagEvent, mergeListing } from './merge-listing.ts';
import type { FlagStore, StoredFlag } from './store.ts';

/** Where the flags in force came from. */
export type FlagSource = 'nowhere' | 'disk' | 'store';

export type FlagFollower = {
  /** The document in force for a slice; undefined where nothing has ever been said of it. */
  flagOf(slice: string): FlagDocument | undefined;
  inForce(): ReadonlyMap<string, StoredFlag>;
  source(): FlagSource;
  /** Resolves when flags are in force: from the store, or, where it is away, from the disk. */
  ready: Promise<void>;
  /** Resolves when everything seen so far is on the disk. */
  persisted(): Promise<void>;
};

export type FlagFollowerOptions = {
  store: FlagStore;
  log: Log;
  signal: AbortSignal;
  /**
   * Folder for `flags.json`, the last known documents, and `flag-changes.jsonl`, every change ever seen: the audit log
   * that survives the store. Null keeps nothing.
   */
  directory: string | null;
  /** One process a folder writes it; the others only start from it. Default true. */
  persist?: boolean;
  /** Called after each event is in force. */
  onEvent?: (event: FlagEvent) => void;
  /** Called when the store stops and starts answering. */
  onReachable?: (reachable: boolean) => void;
};

/** Obeys a flag store: what it says is in force as soon as it is told, and what was last known when it says nothing. */
export const followFlags = (options: FlagFollowerOptions): FlagFollower => {
  const { store, log, signal, directory, persist = true, onEvent, onReachable } = options;
  let flags: ReadonlyMap<string, StoredFlag> = new Map();
  let source: FlagSource = 'nowhere';
  let reachable = true;
  let writing: Promise<void> = Promise.resolve();
  const { promise: ready, resolve: becomeReady } = Promise.withResolvers<void>();
  const refusals = new Map<string, string>();

  const keep = (events: FlagEvent[]): void => {
    if (directory === null || !persist) return;
    const changed = events.filter((event) => event.kind === 'changed');
    if (changed.length === 0) return;
    const snapshot = `${JSON.stringify(Object.fromEntries(flags), null, 2)}\n`;
    const lines = changed.map((event) => `${JSON.stringify(event.flag.document)}\n`).join('');
    writing = writing
      .then(() => writeLastKnown(directory, snapshot, lines))
      .catch((error: Error) => {
        log.error(
          { err: error, directory },
          'cannot keep the last known flags on disk; a restart without the store would not know them',
        );
      });
  };

  const tell = (event: FlagEvent): void => {
    if (event.kind === 'refused') {
      // The same refusal comes with every listing; saying it once is loud enough.
      if (refusals.get(event.slice) === event.why) return;
      refusals.set(event.slice, event.why);
      log.error({ slice: event.slice, why: event.why }, 'flag document refused, the last good one stays in force');
    } else {
      refusals.delete(event.slice);
      const { reads, writes, epoch, stage, change } = event.flag.document;
      log.info(
        { slice: event.slice, stage, percent: reads.percent, writes: writes.owner, epoch, change },
        'flags changed',
      );
    }
    onEvent?.(event);
  };

  const setReachable = (now: boolean): void => {
    if (reachable === now) return;
    reachable = now;
    onReachable?.(now);
  };

  const startFromDisk =
    directory === null
      ? Promise.resolve()
      : readLastKnown(directory).then(
          (known) => {
            if (source !== 'nowhere' || known.size === 0) return;
            flags = known;
            source = 'disk';
          },
          (error: Error) =>
            log.error({ err: error, directory }, 'the last known flags on disk cannot be read and are passed over'),
        );

  void startFromDisk.then(() => {
    if (signal.aborted) return;
    store.watch(
      {
        onChange: (listing) => {
          const merged = mergeListing(flags, listing);
          flags = merged.flags;
          source = 'store';
          setReachable(true);
          for (const event of merged.events) tell(event);
          keep(merged.events);
          becomeReady();
        },
        onError: (error, retryInMs) => {
          log.warn(
            { err: error, store: store.location, retryInMs, source },
            'flag store cannot be reached, last known flags stay in force',
          );
          setReachable(false);
          if (source === 'disk') becomeReady();
        },
        onHealthy: () => setReachable(true),
      },
      signal,
    );
  });

  return {
    flagOf: (slice) => flags.get(slice)?.document,
    inForce: () => flags,
    source: () => source,
    ready,
    persisted: () => writing,
  };
};

const snapshotName = 'flags.json';
const changesName = 'flag-changes.jsonl';

const readLastKnown = async (directory: string): Promise<Map<string, StoredFlag>> => {
  const file = join(directory, snapshotName);
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  const known = new Map<string, StoredFlag>();
  for (const [slice, stored] of Object.entries(
    JSON.parse(text) as Record<string, { document: unknown; index: string }>,
  )) {
    known.set(slice, {
      document: parseFlagDocument(JSON.stringify(stored.document), `${file} ${slice}`),
      index: stored.index,
    });
  }
  return known;
};

const writeLastKnown = async (directory: string, snapshot: string, changes: string): Promise<void> => {
  await mkdir(directory, { recursive: true });
  await appendFile(join(directory, changesName), changes);
  // Its own: several followers of one process may keep what they know in the same place.
  const next = join(directory, `${snapshotName}.${process.pid}.${randomUUID()}.next`);
  await writeFile(next, snapshot, { flush: true });
  await rename(next, join(directory, snapshotName));
};
