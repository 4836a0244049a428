import { type FlagDocument, initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';

/** The document in force; of a slice of which nothing was ever said, the one that everything begins with. */
export const documentInForce = async (store: FlagStore, slice: string): Promise<FlagDocument> => {
  const never = { id: 'none', by: 'nobody', at: new Date(0).toISOString(), reason: '' };
  return (await store.get(slice))?.document ?? initialFlagDocument(slice, never);
};
