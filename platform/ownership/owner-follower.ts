import { pause } from '../backoff.ts';
import type { FenceOwner } from '../contracts/fence-refusal.ts';
import type { FlagDocument, Stage } from '../contracts/flag-document.ts';
import { followFlags } from '../flags/flag-follower.ts';
import { openFlagStore } from '../flags/open-store.ts';
import type { FlagStore } from '../flags/store.ts';
import type { Log } from '../log.ts';

/** What a slice's flags say of who takes its writes. `held`: nobody just now, the ownership is being moved. */
export type Ownership = {
  owner: FenceOwner | 'held';
  /** Whose rows are the true ones: the owner, and while the writes are held the one that they are taken from. */
  holder: FenceOwner;
  epoch: number;
  stage: Stage;
};

/** Knows who owns a slice's writes, as soon as the flag store tells. */
export type OwnerFollower = {
  readonly slice: string;
  /** Undefined where nothing has ever been said of the slice, or nothing is known yet. */
  now(): Ownership | undefined;
  /** Resolves when flags are in force. While the store is away and nothing is on the disk it waits. */
  ready: Promise<void>;
  /** Looks at every change until `holds` is true of what is in force, `withinMs` at most; whether it came to be. */
  until(holds: (ownership: Ownership | undefined) => boolean, withinMs: number): Promise<boolean>;
  waitFor(owner: FenceOwner, withinMs: number): Promise<'owns' | 'late'>;
};

export type FollowOwnerOptions = {
  flags: FlagStore;
  slice: string;
  log: Log;
  signal: AbortSignal;
  /** Where the last known flags are kept; null (the default) keeps nothing, and a start without the store knows nothing. */
  directory?: string | null;
};

/** Follows the owner of one slice's writes until the signal is aborted. */
export const followOwner = ({ flags, slice, log, signal, directory = null }: FollowOwnerOptions): OwnerFollower => {
  const listeners = new Set<() => void>();
  const follower = followFlags({
    store: flags,
    log,
    signal,
    directory,
    onEvent: () => {
      for (const listener of [...listeners]) listener();
    },
  });

  const now = (): Ownership | undefined => ownershipOf(follower.flagOf(slice));

  const until: OwnerFollower['until'] = async (holds, withinMs) => {
    if (holds(now())) return true;
    const seen = new AbortController();
    const look = (): void => {
      if (holds(now())) seen.abort();
    };
    listeners.add(look);
    try {
      // What was on the disk comes into force without an event.
      void follower.ready.then(look);
      await pause(withinMs, seen.signal);
      return holds(now());
    } finally {
      listeners.delete(look);
    }
  };

  return {
    slice,
    now,
    ready: follower.ready,
    until,
    waitFor: async (owner, withinMs) => ((await until((said) => said?.owner === owner, withinMs)) ? 'owns' : 'late'),
  };
};

export type OpenedOwner = { owner: OwnerFollower; close(): void };

/** How long a process that starts waits to hear who owns; after that the databases' fences decide alone. */
const startWaitMs = 2_000;

/**
 * Opens the flag store at an address (`consul://host:port` or `file://path`) and follows the slice's owner. Resolves when
 * flags are in force, or after 2 s without.
 */
export const openOwner = async ({
  address,
  token,
  slice,
  log,
  directory,
}: {
  address: string;
  token?: string | undefined;
  slice: string;
  log: Log;
  directory?: string | undefined;
}): Promise<OpenedOwner> => {
  const stopping = new AbortController();
  const opened = openFlagStore(address, { log, ...(token === undefined ? {} : { token }) });
  const owner = followOwner({
    flags: opened.store,
    slice,
    log,
    signal: stopping.signal,
    directory: directory ?? null,
  });
  const known = new AbortController();
  void owner.ready.then(() => known.abort());
  if ((await pause(startWaitMs, known.signal)) === 'elapsed') {
    log.warn(
      { slice, store: opened.store.location },
      'flags are not known yet; until they are, the fence decides alone',
    );
  }
  return {
    owner,
    close: () => {
      stopping.abort();
      opened.close();
    },
  };
};

/** For a health check: who owns the writes, as far as is known here. */
export const ownershipText = ({ slice, now }: OwnerFollower): string => {
  const said = now();
  if (said === undefined) return `nobody has said who owns the writes of ${slice}`;
  const owner = said.owner === 'held' ? 'held' : `the ${said.owner}’s`;
  return `writes of ${slice} are ${owner} under epoch ${said.epoch}`;
};

const ownershipOf = (document: FlagDocument | undefined): Ownership | undefined =>
  document && {
    owner: document.writes.owner,
    holder: document.writes.owner === 'held' ? document.writes.from : document.writes.owner,
    epoch: document.epoch,
    stage: document.stage,
  };
