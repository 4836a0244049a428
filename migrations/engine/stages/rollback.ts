import type { FlagDocument, Stage } from '@strangler/platform/contracts/flag-document.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { leaveSync } from './leave-sync.ts';
import { StageRefused, type StageWork } from './stage-work.ts';

/** The stage before the one in which a slice stands. @throws StageRefused where this way does not lead back. */
export const previousStage = (stage: Stage, slice: string): 'monolith' | 'sync' => {
  if (stage === 'shadow') return 'sync';
  // At `monolith` there may be something left of a rollback that did not end.
  if (stage === 'sync' || stage === 'monolith') return 'monolith';
  throw new StageRefused(
    `${slice}: expected a slice at sync or shadow, found it at ${stage}; move its reads and writes back to the monolith first`,
  );
};

/**
 * Takes a slice one stage back. Its reads go to the monolith first; from `sync` its pipe is taken away, and the source
 * is as it was before. Interrupted, it is run again. @returns the document that is in force then.
 */
export async function rollback(work: StageWork, from: FlagDocument): Promise<FlagDocument> {
  const { store, author, databases, tell } = work;
  const { slice } = databases.slice;
  const stage = previousStage(from.stage, slice);
  let document = from;
  if (from.stage !== stage) {
    document = await changeFlag(
      store,
      slice,
      (now) => {
        if (now.stage !== from.stage || now.writes.owner !== 'monolith') {
          throw new StageRefused(
            `${slice}: expected it at ${from.stage} with writes on the monolith, found it at ${now.stage} with writes on ${now.writes.owner}`,
          );
        }
        const cohorts = now.reads.cohorts.filter(({ side }) => side === 'monolith');
        return { ...now, stage, reads: { percent: 0, cohorts } };
      },
      author,
    );
    tell({ kind: 'stage', document });
  }
  if (stage === 'monolith') await leaveSync(work);
  return document;
}
