import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FlagDocument } from '../contracts/flag-document.ts';
import { changeFlag } from '../flags/change-flag.ts';
import { createFileFlagStore } from '../flags/file-store.ts';
import type { FlagStore } from '../flags/store.ts';
import { createLog } from '../log.ts';
import { followOwner, type OwnerFollower } from './owner-follower.ts';

/** Flags in a file of their own, and ways to move the ownership of a slice, `catalog` unless told, as a cut-over does. */
export type TestFlags = {
  store: FlagStore;
  address: string;
  owner: OwnerFollower;
  set(owner: 'monolith' | 'service' | 'held', epoch: number, stage?: FlagDocument['stage']): Promise<void>;
  stop(): Promise<void>;
};

export const slice = 'catalog';

export async function startTestFlags(of: string = slice): Promise<TestFlags> {
  const folder = await mkdtemp(join(tmpdir(), 'ownership-'));
  const path = join(folder, 'flags.json');
  const store = createFileFlagStore(path);
  const stopping = new AbortController();
  const log = createLog({ name: 'test', level: 'silent' });
  const owner = followOwner({ flags: store, slice: of, log, signal: stopping.signal });
  return {
    store,
    address: `file://${path}`,
    owner,
    set: async (to, epoch, stage) => {
      await changeFlag(
        store,
        of,
        (document) => ({
          ...document,
          epoch,
          stage: stage ?? (to === 'service' ? 'writes' : 'reads'),
          reads: { percent: 100, cohorts: [] },
          writes:
            to === 'held'
              ? { owner: 'held', ...heldBetween(document.writes), deadline: new Date(Date.now() + 5_000).toISOString() }
              : { owner: to },
        }),
        { by: 'test', reason: 'test' },
      );
    },
    stop: async () => {
      stopping.abort();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const heldBetween = ({ owner }: FlagDocument['writes']) =>
  owner === 'service' ? ({ from: 'service', to: 'monolith' } as const) : ({ from: 'monolith', to: 'service' } as const);

/** What the driver throws where a closed fence refuses a write. */
export const refusal = (epoch: number, owner: 'monolith' | 'service'): Error =>
  Object.assign(
    new Error(`strangler fence: ${slice} epoch ${epoch}, owner ${owner}: closed, write to the owner or retry`),
    {
      errno: 45045,
      sqlState: '45000',
    },
  );
