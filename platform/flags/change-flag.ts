import { type Change, type FlagDocument, flagDocumentSchema, initialFlagDocument } from '../contracts/flag-document.ts';
import { FlagConflictError, type FlagStore } from './store.ts';

export type ChangeAuthor = { by: string; reason: string };

/**
 * Changes a slice's flags once: reads, edits, writes by compare-and-swap. It does not try again when somebody else wrote in
 * between, because what they wrote may be the reason not to.
 * @throws FlagConflictError naming who was faster, when and why.
 * @throws FlagDocumentError or ZodError where the edit makes a document that cannot be obeyed.
 */
export const changeFlag = async (
  store: FlagStore,
  slice: string,
  edit: (document: FlagDocument) => FlagDocument,
  author: ChangeAuthor,
  now: () => Date = () => new Date(),
): Promise<FlagDocument> => {
  const stored = await store.get(slice);
  const change: Change = {
    id: crypto.randomUUID(),
    by: author.by,
    // History is ordered by this instant, so it grows with every change, even where an operator's clock is behind.
    at: new Date(Math.max(now().getTime(), stored ? Date.parse(stored.document.change.at) + 1 : 0)).toISOString(),
    reason: author.reason,
  };
  const before = stored?.document ?? initialFlagDocument(slice, change);
  const document = flagDocumentSchema.parse({ ...edit(before), change });
  if ((await store.put(document, stored?.index ?? null)) === 'written') return document;

  const other = (await store.get(slice))?.document.change;
  throw new FlagConflictError(
    other
      ? `${slice}: ${other.by} changed the flags at ${other.at} (${other.reason || 'no reason given'}) while you did; nothing of yours was written. ` +
          `Look with "strangler flag show ${slice}", then decide again.`
      : `${slice}: somebody removed the flags while you changed them; nothing of yours was written.`,
  );
};
