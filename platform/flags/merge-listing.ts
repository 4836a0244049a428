import type { FlagDocument } from '../contracts/flag-document.ts';
import type { FlagListing, StoredFlag } from './store.ts';

/** What became of one slice's flags when a new listing arrived. */
export type FlagEvent =
  | { kind: 'changed'; slice: string; flag: StoredFlag; before: FlagDocument | undefined }
  /** The stored document cannot be obeyed; the last good one stays in force. */
  | { kind: 'refused'; slice: string; why: string };

export type Merged = { flags: ReadonlyMap<string, StoredFlag>; events: FlagEvent[] };

/**
 * The flags in force after a listing: what parses replaces what was known; what does not parse, has vanished, or carries an
 * older epoch than is known is refused, because a store that lost its data must not hand ownership back.
 */
export const mergeListing = (known: ReadonlyMap<string, StoredFlag>, listing: FlagListing): Merged => {
  const flags = new Map(known);
  const events: FlagEvent[] = [];
  const refuse = (slice: string, why: string): void => {
    events.push({ kind: 'refused', slice, why });
  };

  for (const [slice, flag] of listing.flags) {
    const before = known.get(slice);
    if (before?.index === flag.index) continue;
    const [epoch, knownEpoch] = [flag.document.epoch, before?.document.epoch ?? 0];
    if (epoch < knownEpoch) {
      refuse(
        slice,
        `epoch ${epoch} is older than epoch ${knownEpoch}, which is in force; was the store restored from a backup?`,
      );
      continue;
    }
    flags.set(slice, flag);
    events.push({ kind: 'changed', slice, flag, before: before?.document });
  }
  for (const [slice, fault] of listing.refused) refuse(slice, fault.message);
  if (!listing.refused.has('*')) {
    for (const slice of known.keys()) {
      if (!listing.flags.has(slice) && !listing.refused.has(slice))
        refuse(slice, 'the document has vanished from the store');
    }
  }
  return { flags, events };
};
