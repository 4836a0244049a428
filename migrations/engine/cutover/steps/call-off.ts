import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { CutoverJournal } from '@strangler/platform/contracts/cutover-journal.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { StoredFlag } from '@strangler/platform/flags/store.ts';
import { type CutoverWork, StepFailed } from '../cutover-work.ts';
import { isCommitted } from '../decide-resume.ts';
import { hasBegun } from '../journal.ts';
import { changed, readFlag } from '../write-flag.ts';
import { reopen } from './reopen.ts';

/** `committed`: it cannot be called off any more, and must be finished. */
export type CallOffOutcome = { kind: 'called off' | 'committed'; document: FlagDocument };

const backoff = { baseMs: 50, capMs: 500 };

/** The flags are with one side, and not of the cut-over at hand. */
class FlagsMoved extends StepFailed {}

/**
 * Gives the slice's writes back to the side that had them. Its flags are changed before its fence is opened, so that a
 * commit that is still on its way to Consul finds other flags; its fence is opened under an epoch of its own, one above
 * that of the cut-over, so that a closing that is still on its way finds a later fence; and only then are the held
 * writes let go. Killed at any line it is run again.
 * @throws StepFailed when a server has been away for `withinMs`
 */
export async function callOff(
  work: CutoverWork,
  journal: Pick<CutoverJournal, 'slice' | 'from' | 'to' | 'epoch' | 'steps'>,
  why: string,
  withinMs: number,
): Promise<CallOffOutcome> {
  const { slice, from } = journal;
  const epoch = journal.epoch + 1;
  const author = { by: work.author.by, reason: `called off: ${why}` };
  const startedMs = performance.now();
  let delayMs: number | undefined;
  for (;;) {
    try {
      let stored = await readFlag(work);
      if (isCommitted(stored.document, journal)) return { kind: 'committed', document: stored.document };
      const { writes } = stored.document;
      if (writes.owner !== 'held' && writes.owner !== from) {
        throw new FlagsMoved(
          `expected the writes of ${slice} held or with the ${from}, found them with the ${writes.owner}`,
        );
      }
      if (writes.owner === 'held') {
        stored = await swap(
          work,
          stored,
          changed(stored, author, { epoch: Math.max(stored.document.epoch, journal.epoch) }),
        );
      } else if (hasBegun(journal, 'hold') && stored.document.epoch < epoch) {
        stored = await swap(work, stored, changed(stored, author, { epoch }));
      }
      if (hasBegun(journal, 'hold') || writes.owner === 'held') {
        await reopen(work, slice, from, epoch, Math.max(1, withinMs - (performance.now() - startedMs)));
      }
      if (stored.document.writes.owner === 'held') {
        stored = await swap(work, stored, changed(stored, author, { writes: { owner: from }, epoch }));
      }
      return { kind: 'called off', document: stored.document };
    } catch (error) {
      if (error instanceof FlagsMoved) throw error;
      const text = error instanceof Error ? error.message : String(error);
      if (performance.now() - startedMs > withinMs) throw new StepFailed(text, { cause: error });
      work.log.warn({ err: error, slice }, 'the cut-over is not called off yet; trying on');
    }
    delayMs = nextBackoffMs(delayMs, backoff);
    await pause(delayMs);
  }
}

/** @throws when somebody was faster: who calls off looks again */
async function swap(work: CutoverWork, stored: StoredFlag, document: FlagDocument): Promise<StoredFlag> {
  if ((await work.store.put(document, stored.index)) === 'conflict') throw new Error('somebody has changed the flags');
  const now = await readFlag(work);
  if (now.document.change.id !== document.change.id) throw new Error('somebody has changed the flags');
  return now;
}
