import { type FlagDocument, type Stage, stages } from '@strangler/platform/contracts/flag-document.ts';
import { changeStage } from './change-stage.ts';
import { leaveSync } from './leave-sync.ts';
import type { StageWork } from './stage-work.ts';

/** The stage before the one in which a slice stands. At `monolith` there may be something left of a rollback that did not end. */
export const previousStage = (stage: Stage): Exclude<Stage, 'complete'> =>
  (stages[Math.max(0, stages.indexOf(stage) - 1)] ?? 'monolith') as Exclude<Stage, 'complete'>;

/**
 * Takes a slice whose writes the monolith owns one stage back. From `sync` its pipe is taken away, and the source is as
 * it was before. Interrupted, it is run again. @returns the document that is in force then.
 */
export async function rollback(work: StageWork, from: FlagDocument): Promise<FlagDocument> {
  const stage = previousStage(from.stage);
  const document =
    from.stage === stage
      ? from
      : await changeStage(work, from, ({ reads }) => ({ stage, reads: readsAt(work, stage, reads) }));
  if (stage === 'monolith') await leaveSync(work);
  return document;
}

const readsAt = ({ databases }: StageWork, stage: Stage, { cohorts }: FlagDocument['reads']): FlagDocument['reads'] => {
  if (stage === 'canary') {
    const below = databases.slice.gates.canary.steps.filter((percent) => percent < 100);
    return { percent: below.at(-1) ?? 0, cohorts };
  }
  return { percent: 0, cohorts: cohorts.filter(({ side }) => side === 'monolith') };
};
