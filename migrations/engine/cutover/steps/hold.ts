import { pause } from '@strangler/platform/backoff.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { StoredFlag } from '@strangler/platform/flags/store.ts';
import { askProxies } from '@strangler/platform/proxy-status/ask-proxies.ts';
import { type CutoverPipes, type CutoverWork, StepFailed } from '../cutover-work.ts';
import {
  holdProgress,
  holdText,
  isHeldByAll,
  type ProxiesSeen,
  stillWriting,
  stillWritingText,
} from '../hold-progress.ts';
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
  const writing = keepAsking(slice);
  for (let looks = 0; ; looks += 1) {
    const seen = await seeProxies(work, slice);
    const progress = holdProgress(seen, document.change.id);
    if (isHeldByAll(progress)) {
      const count = progress.acknowledged.length;
      return count === 0 ? 'no proxy is alive' : `${count} prox${count === 1 ? 'y' : 'ies'} to have no write under way`;
    }
    const waitedMs = performance.now() - startedMs;
    if (waitedMs > holdMs) throw new StepFailed(`${holdText(progress)}, within ${holdMs} ms${writing.said()}`);
    if (waitedMs > holdMs / 2) writing.ask(progress.missing, seen);
    if ((await pause(looks < fastLooks ? 1 : 10, signal)) === 'aborted') throw new StepFailed(stoppedText);
  }
}

const askEveryMs = 500;

/** Asks beside the looks, and never waits for an answer: meanwhile all writes of the slice do. */
function keepAsking(slice: string) {
  let text = '';
  let nextMs = 0;
  return {
    /** As known last; with what comes before it. */
    said: (): string => (text === '' ? '' : `: ${text}`),
    ask(missing: readonly string[], seen: ProxiesSeen): void {
      if (performance.now() < nextMs) return;
      nextMs = performance.now() + askEveryMs;
      void askWhatFor(slice, missing, seen).then((told) => {
        text = told;
      });
    },
  };
}

/** Asks those that do not hold what they wait for: what is too slow for the bound is the operator's to know. */
async function askWhatFor(slice: string, missing: readonly string[], { live }: ProxiesSeen): Promise<string> {
  const known = missing.flatMap((id) => {
    const admin = live.get(id)?.value?.admin;
    return admin === undefined ? [] : [{ id, admin }];
  });
  const answers = await askProxies(known.map(({ admin }) => admin));
  const asked = known.map(({ id }, at) => {
    const answer = answers[at];
    return { id, status: answer !== undefined && 'status' in answer ? answer.status : null };
  });
  const text = stillWritingText(stillWriting(slice, asked));
  return text === '' ? '' : `${text}; answer such requests sooner, or give the hold longer (--hold)`;
}

export const stoppedText = 'it was stopped by whoever began it';
