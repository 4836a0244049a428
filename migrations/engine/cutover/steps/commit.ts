import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { StoredFlag } from '@strangler/platform/flags/store.ts';
import { type CutoverPipes, type CutoverWork, StepFailed } from '../cutover-work.ts';
import { changed, readFlag } from '../write-flag.ts';

/** What became of the one write that moves ownership. */
export type CommitOutcome =
  | { kind: 'committed'; document: FlagDocument }
  /** It did not take place, and cannot any more: somebody has changed the flags. */
  | { kind: 'not committed'; why: string }
  /** The flags could not be read back. */
  | { kind: 'unknown'; error: unknown };

/** How long an unknown outcome is looked into. */
const readBackMs = 5_000;
const backoff = { baseMs: 50, capMs: 500 };

/** The flag document under which the new owner takes the slice's writes. */
export const committedDocument = (
  stored: StoredFlag,
  to: CutoverPipes['to'],
  epoch: number,
  author: CutoverWork['author'],
): FlagDocument =>
  changed(stored, author, { writes: { owner: to }, stage: to === 'service' ? 'writes' : 'reads', epoch });

/** The flags as they are now, if nobody has changed them since the hold was asked for. @throws StepFailed */
export async function requireHold(work: CutoverWork, holdId: string): Promise<StoredFlag> {
  const stored = await readFlag(work);
  if (stored.document.change.id === holdId) return stored;
  throw new StepFailed(whoChanged(stored.document));
}

/** Moves ownership. Where the outcome is not told it is read back, never guessed. */
export async function commit(work: CutoverWork, document: FlagDocument, index: string): Promise<CommitOutcome> {
  try {
    if ((await work.store.put(document, index)) === 'written') return { kind: 'committed', document };
  } catch (error) {
    return await readBack(work, document, error);
  }
  return await readBack(work, document, null);
}

/** @param cause what the write has thrown; null: it found other flags */
async function readBack(work: CutoverWork, document: FlagDocument, cause: unknown): Promise<CommitOutcome> {
  const startedMs = performance.now();
  let delayMs: number | undefined;
  let error = cause;
  while (performance.now() - startedMs < readBackMs) {
    try {
      const { document: now } = await readFlag(work);
      if (now.change.id === document.change.id) return { kind: 'committed', document: now };
      // No other cut-over commits under this epoch, and none begins while this one has the lock.
      if (now.epoch >= document.epoch && now.writes.owner === document.writes.owner) {
        return { kind: 'committed', document: now };
      }
      const why = cause === null ? whoChanged(now) : `the flags could not be changed: ${textOf(cause)}`;
      return { kind: 'not committed', why };
    } catch (failure) {
      error = failure;
    }
    delayMs = nextBackoffMs(delayMs, backoff);
    await pause(delayMs);
  }
  return { kind: 'unknown', error };
}

const whoChanged = ({ change: { by, at, reason } }: FlagDocument): string =>
  `${by} changed the flags at ${at} (${reason || 'no reason given'}) while writes were held`;

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
