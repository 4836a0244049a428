import { type FlagDocument, type Stage, stages } from '@strangler/platform/contracts/flag-document.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { backfillSlice } from './backfill-slice.ts';
import { enterSync } from './enter-sync.ts';
import { judgeShadow, judgeSync, standingGates, type Verdict } from './gates.ts';
import { measurePipe, measureSync, verifyAll, waitForLag } from './measure.ts';
import { GateShut, StageInterrupted, StageRefused, type StageWork } from './stage-work.ts';

export type AdvanceOptions = {
  /** Goes past gates that may be forced; they are named in the change's reason. */
  force: boolean;
  /** Leaves the copying to `backfill`. */
  skipBackfill: boolean;
};

/** The stage after the one in which a slice stands. @throws StageRefused where there is none to go to by this way. */
export const nextStage = (stage: Stage, slice: string): 'sync' | 'shadow' => {
  const next = stages[stages.indexOf(stage) + 1];
  if (next === 'sync' || next === 'shadow') return next;
  throw new StageRefused(
    `${slice}: expected a slice at monolith or sync, found it at ${stage}; from here its reads move with "strangler flag set ${slice} --reads <percent>"`,
  );
};

/** Takes a slice one stage on, if the gate is open. @returns the document that is in force then. */
export async function advance(work: StageWork, from: FlagDocument, options: AdvanceOptions): Promise<FlagDocument> {
  const { slice } = work.databases.slice;
  const next = nextStage(from.stage, slice);
  return next === 'sync' ? await advanceToSync(work, from, options) : await advanceToShadow(work, from, options);
}

async function advanceToSync(work: StageWork, from: FlagDocument, options: AdvanceOptions): Promise<FlagDocument> {
  const { databases, signal } = work;
  const verdicts = judgeSync(await measureSync(work), work.bounds);
  pass(work, 'sync', verdicts, options.force);
  const tables = await databases.tables();
  await enterSync(work, tables, from);
  if (signal.aborted) throw interrupted(databases.slice.slice);
  const document = await change(work, from, 'sync', forced(verdicts));
  if (!options.skipBackfill) await backfillSlice(work, tables);
  return document;
}

async function advanceToShadow(work: StageWork, from: FlagDocument, { force }: AdvanceOptions): Promise<FlagDocument> {
  const tables = await work.databases.tables();
  const verdicts = await judgePipe(work, tables, force);
  pass(work, 'shadow', verdicts, force);
  if (work.signal.aborted) throw interrupted(work.databases.slice.slice);
  return await change(work, from, 'shadow', forced(verdicts));
}

/** Measures and judges the gates into `shadow`; rows are compared once nothing else stands in the way. */
async function judgePipe(work: StageWork, tables: readonly MappedTable[], force: boolean): Promise<Verdict[]> {
  await waitForLag(work);
  const figures = await measurePipe(work, tables);
  const others = judgeShadow(figures, work.bounds).filter(({ gate }) => gate !== 'verify');
  if (standingGates(others, force).length > 0) return judgeShadow(figures, work.bounds);
  const verified = await verifyAll(work, tables);
  if (work.signal.aborted) throw interrupted(work.databases.slice.slice);
  // What was measured before the comparison may have changed while it went on.
  return judgeShadow({ ...(await measurePipe(work, tables)), verified }, work.bounds);
}

function pass({ databases, tell }: StageWork, stage: Stage, verdicts: Verdict[], force: boolean): void {
  tell({ kind: 'gates', verdicts });
  const standing = standingGates(verdicts, force);
  if (standing.length > 0) throw new GateShut(databases.slice.slice, stage, standing);
}

const forced = (verdicts: readonly Verdict[]): string[] =>
  verdicts.filter(({ state }) => state === 'shut').map(({ gate, found }) => `${gate} (${found})`);

async function change(
  { store, author, databases, tell }: StageWork,
  from: FlagDocument,
  stage: Stage,
  past: readonly string[],
): Promise<FlagDocument> {
  const { slice } = databases.slice;
  const reason = past.length === 0 ? author.reason : `${author.reason} [forced past ${past.join(', ')}]`.trim();
  const document = await changeFlag(
    store,
    slice,
    (now) => {
      // Somebody may have moved it while this one measured.
      if (now.stage !== from.stage) {
        throw new StageRefused(
          `${slice}: expected it at ${from.stage} still, found ${now.change.by} has taken it to ${now.stage}; look with "strangler status ${slice}"`,
        );
      }
      return { ...now, stage };
    },
    { by: author.by, reason: reason.slice(0, 1000) },
  );
  tell({ kind: 'stage', document });
  return document;
}

const interrupted = (slice: string): StageInterrupted =>
  new StageInterrupted(`stopped before the stage was changed; "strangler advance ${slice}" begins anew where it can`);
