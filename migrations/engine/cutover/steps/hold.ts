import { pause } from '@strangler/platform/backoff.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { StoredFlag } from '@strangler/platform/flags/store.ts';
import { type CutoverPipes, type CutoverWork, StepFailed } from '../cutover-work.ts';
import { holdProgress, holdText, isHeldByAll } from '../hold-progress.ts';
import { seeProxies } from '../see-proxies.ts';
import { changed } from '../write-flag.ts';

/** The flag document that asks every proxy to hold the slice's writes; nothing else of it changes. */
export const heldDocument = (
  stored: StoredFlag,
  { from, to }: Pick<CutoverPipes, 'from' | 'to'>,
  author: CutoverWork['author'],
  deadline: string,
): FlagDocument => changed(stored, author, { writes: { owner: 'held', from, to, deadline } });

/** Looks at first follow each other as fast as Consul answers; a proxy with long requests is asked for less often. */
const fastLooks = 20;

/**
 * Asks for the hold, and waits until every live proxy has acknowledged this change under its session.
 * @returns what it waited for
 * @throws StepFailed where somebody else has changed the flags, or a proxy is late or not known to be alive
 */
export async function hold(
  work: CutoverWork,
  { slice }: Pick<CutoverPipes, 'slice'>,
  document: FlagDocument,
  index: string,
  { holdMs, signal }: { holdMs: number; signal: AbortSignal },
): Promise<string> {
  const startedMs = performance.now();
  if ((await work.store.put(document, index)) === 'conflict') {
    throw new StepFailed(`somebody has changed the flags of ${slice} since they were looked at`);
  }
  for (let looks = 0; ; looks += 1) {
    const seen = await seeProxies(work, slice);
    const progress = holdProgress(seen, document.change.id);
    if (isHeldByAll(progress)) {
      const count = progress.acknowledged.length;
      return count === 0 ? 'no proxy is alive' : `${count} prox${count === 1 ? 'y' : 'ies'} to have no write under way`;
    }
    if (performance.now() - startedMs > holdMs) throw new StepFailed(`${holdText(progress)}, within ${holdMs} ms`);
    if ((await pause(looks < fastLooks ? 1 : 10, signal)) === 'aborted') throw new StepFailed(stoppedText);
  }
}

export const stoppedText = 'it was stopped by whoever began it';
