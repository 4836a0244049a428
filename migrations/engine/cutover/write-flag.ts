import { randomUUID } from 'node:crypto';
import { type FlagDocument, flagDocumentSchema } from '@strangler/platform/contracts/flag-document.ts';
import type { StoredFlag } from '@strangler/platform/flags/store.ts';
import type { CutoverWork } from './cutover-work.ts';

/** A change of a stored flag document: only where it is still the one that was looked at. */
export const changed = (
  { document }: StoredFlag,
  author: { by: string; reason: string },
  edit: Partial<Pick<FlagDocument, 'stage' | 'writes' | 'epoch'>>,
): FlagDocument =>
  flagDocumentSchema.parse({
    ...document,
    ...edit,
    change: {
      id: randomUUID(),
      by: author.by,
      // History is ordered by this instant, so it grows with every change.
      at: new Date(Math.max(Date.now(), Date.parse(document.change.at) + 1)).toISOString(),
      reason: author.reason.slice(0, 1_000),
    },
  });

/** A slice's flags. @throws where it has none, or the store is away */
export async function readFlag({ store, forward }: Pick<CutoverWork, 'store' | 'forward'>): Promise<StoredFlag> {
  const slice = forward.sliceName;
  const stored = await store.get(slice);
  if (stored !== undefined) return stored;
  throw new Error(`${slice}: expected its flags at ${store.location}, found none; advance it first`);
}
