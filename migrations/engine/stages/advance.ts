import { type FlagDocument, type Stage, stages } from '@strangler/platform/contracts/flag-document.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { announceCopied } from '../pipe/announce-copied.ts';
import { isCanary } from '../pipe/canary.ts';
import { backfillSlice } from './backfill-slice.ts';
import { changeStage, forcedPast, passGates } from './change-stage.ts';
import { enterSync } from './enter-sync.ts';
import { judgeShadow, judgeSync, standingGates, type Verdict } from './gates.ts';
import { measureSettledPipe, measureSync, verifyAll } from './measure.ts';
import { StageInterrupted, StageRefused, type StageWork } from './stage-work.ts';

export type AdvanceOptions = {
  /** Goes past gates that may be forced; they are named in the change's reason. */
  force: boolean;
  /** Leaves the copying to `backfill`. */
  skipBackfill: boolean;
  /** How the canary stands, judged when it is asked for. */
  judgeCanary(): Promise<Verdict[]>;
  /** What the comparison of live answers shows, judged when it is asked for. */
  judgeComparison(): Promise<Verdict[]>;
  /** Forgets what was compared before: of another copy of the rows it proves nothing. Judged as a gate into `shadow`. */
  forgetComparison(): Promise<Verdict[]>;
};

/** Stages that are entered without moving who owns the writes. */
export const readStages = ['sync', 'shadow', 'canary', 'reads'] as const;
export type ReadStage = (typeof readStages)[number];

/** The stage after the one in which a slice stands. @throws StageRefused after the last */
export const nextStage = (stage: Stage, slice: string): Exclude<Stage, 'monolith'> => {
  const next = stages[stages.indexOf(stage) + 1];
  if (next !== undefined && next !== 'monolith') return next;
  throw new StageRefused(`${slice}: expected a slice with a stage before it, found it at ${stage}, the last one`);
};

/**
 * Takes a slice one stage on, up to `reads`, if the gate is open.
 * @returns the document that is in force then
 */
export async function advance(
  work: StageWork,
  from: FlagDocument,
  to: ReadStage,
  options: AdvanceOptions,
): Promise<FlagDocument> {
  if (to === 'sync') return await advanceToSync(work, from, options);
  const tables = await work.databases.tables();
  const verdicts = [
    ...(to === 'shadow' ? await options.forgetComparison() : []),
    ...(to === 'canary' ? await options.judgeComparison() : []),
    ...(to === 'reads' ? await options.judgeCanary() : []),
    ...(await judgePipe(work, tables, options.force)),
  ];
  passGates(work, to, verdicts, options.force);
  refuseInterrupted(work);
  // What the service has derived from the rows before they were copied is untrue, and from here on it is compared.
  if (to === 'shadow') await announceAll(work, tables);
  return await changeStage(work, from, (now) => ({ stage: to, reads: readsAt(work, to, now) }), forcedPast(verdicts));
}

const announceAll = ({ rabbit, exchange, databases }: StageWork, tables: readonly MappedTable[]): Promise<void> =>
  announceCopied(rabbit, {
    ...{ exchange, slice: databases.slice.slice, now: new Date() },
    tables: tables.filter((table) => !isCanary(table)),
  });

const readsAt = ({ databases }: StageWork, to: ReadStage, { reads }: FlagDocument): FlagDocument['reads'] => {
  if (to === 'reads') return { ...reads, percent: 100 };
  if (to !== 'canary') return reads;
  return { ...reads, percent: databases.slice.gates.canary.steps[0] ?? 0 };
};

async function advanceToSync(work: StageWork, from: FlagDocument, options: AdvanceOptions): Promise<FlagDocument> {
  const { databases } = work;
  const verdicts = judgeSync(await measureSync(work), work.bounds);
  passGates(work, 'sync', verdicts, options.force);
  const tables = await databases.tables();
  await enterSync(work, tables, from);
  refuseInterrupted(work);
  const document = await changeStage(work, from, () => ({ stage: 'sync' }), forcedPast(verdicts));
  if (!options.skipBackfill) await backfillSlice(work, tables);
  return document;
}

/** Measures and judges the pipe; rows are compared once nothing else stands in the way. */
async function judgePipe(work: StageWork, tables: readonly MappedTable[], force: boolean): Promise<Verdict[]> {
  const figures = await measureSettledPipe(work, tables);
  const others = judgeShadow(figures, work.bounds).filter(({ gate }) => gate !== 'verify');
  if (standingGates(others, force).length > 0) return judgeShadow(figures, work.bounds);
  const verified = await verifyAll(work, tables);
  refuseInterrupted(work);
  // What was measured before the comparison may have changed while it went on.
  return judgeShadow({ ...(await measureSettledPipe(work, tables)), verified }, work.bounds);
}

function refuseInterrupted({ signal, databases }: StageWork): void {
  if (!signal.aborted) return;
  throw new StageInterrupted(
    `stopped before the stage was changed; "strangler advance ${databases.slice.slice}" begins anew where it can`,
  );
}
