import type { CutoverJournal } from '@strangler/platform/contracts/cutover-journal.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { closeFence } from '../fence/move-fence.ts';
import { withOperationLock } from '../pipe/operation-lock.ts';
import {
  type CutoverCalledOffOutcome,
  type CutoverDone,
  CutoverInterrupted,
  type CutoverWork,
  fencePool,
} from './cutover-work.ts';
import { decideResume, type ResumeDecision } from './decide-resume.ts';
import { beginJournal, beginStep, describeStep, endJournal, isOpen, otherSide } from './journal.ts';
import { JournalKeeper } from './journal-keeper.ts';
import { insertJournal, readJournal } from './journal-table.ts';
import { readFences } from './measure-cutover.ts';
import { callOff } from './steps/call-off.ts';
import { openSide } from './steps/release.ts';
import { Stopwatch } from './stopwatch.ts';
import { readFlag } from './write-flag.ts';

export type ResumeOutcome =
  | CutoverDone
  | CutoverCalledOffOutcome
  /** No cut-over was left half-way. */
  | { kind: 'nothing'; document: FlagDocument };

/** What a resume would do now. Changes nothing. */
export async function lookAtResume(work: CutoverWork): Promise<{
  decision: ResumeDecision;
  document: FlagDocument;
  journal: CutoverJournal | undefined;
}> {
  const { document } = await readFlag(work);
  const journal = await readJournal(work.forward.source.write, work.forward.sliceName);
  return { decision: decideResume(document, journal, await readFences(work)), document, journal };
}

/**
 * Finishes, or calls off, what a coordinator has left half-way: as the flags say. May be killed at any line and run again.
 * @throws CutoverInterrupted where a server is away for too long, OperationUnderWay while a coordinator is at work
 */
export async function resumeCutover(
  work: CutoverWork,
  { settleMs = 30_000 }: { settleMs?: number } = {},
): Promise<ResumeOutcome> {
  const slice = work.forward.sliceName;
  return await withOperationLock(work.forward.source.write, slice, 'resume', async () => {
    const { decision, document, journal: found } = await lookAtResume(work);
    if (decision === 'nothing') return { kind: 'nothing', document };
    const watch = new Stopwatch(work.tell);
    const keeper = await keeperOf(work, found, document);
    try {
      if (decision === 'call off') {
        const outcome = await giveBack(work, keeper, document, watch, settleMs);
        if (outcome !== 'committed') return outcome;
      }
      return await finish(work, keeper, watch, settleMs);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      keeper.note((journal) => endJournal(journal, 'waiting for resume', why, new Date()));
      await keeper
        .write('waiting for resume')
        .catch((failure) => work.log.warn({ err: failure }, 'not in the journal'));
      await keeper.settled();
      throw new CutoverInterrupted(keeper.journal, why, { cause: error });
    }
  });
}

/** The journal that was found; where flags or fences are half-way without one, a new one that says so. */
async function keeperOf(
  work: CutoverWork,
  found: CutoverJournal | undefined,
  document: FlagDocument,
): Promise<JournalKeeper> {
  const db = work.forward.source.write;
  const { consul, log, reached = () => {} } = work;
  const { writes } = document;
  const fits =
    found !== undefined &&
    (isOpen(found) || found.epoch >= document.epoch) &&
    (writes.owner !== 'held' || found.to === writes.to);
  if (fits) return new JournalKeeper({ journal: found, db, consul, log, reached });
  const to = writes.owner === 'held' ? writes.to : otherSide(writes.owner);
  const begun = beginJournal(document, to, { ...work.author, reason: 'found half-way, without a journal' });
  const journal = writes.owner === 'held' ? beginStep(begun, 'hold', new Date()) : begun;
  await insertJournal(db, journal);
  return new JournalKeeper({ journal, db, consul, log, reached });
}

async function giveBack(
  work: CutoverWork,
  keeper: JournalKeeper,
  document: FlagDocument,
  watch: Stopwatch,
  settleMs: number,
): Promise<CutoverCalledOffOutcome | 'committed'> {
  const before = keeper.journal.why;
  const why =
    before ??
    `its coordinator (${keeper.journal.host}, process ${keeper.journal.pid}) ended at ${lastStep(keeper.journal)}`;
  await keeper.begin('call off');
  watch.begin('call off');
  const outcome = await callOff(work, keeper.journal, why, settleMs);
  if (outcome.kind === 'committed') return 'committed';
  const { owner } = outcome.document.writes;
  if (owner !== 'held') await openOwners(work, owner, outcome.document.epoch, settleMs);
  watch.end(why);
  await keeper.did('call off');
  keeper.note((journal) => ({
    ...endJournal(describeStep(journal, why), 'called off', why, new Date()),
    changeIds:
      outcome.document.change.id === document.change.id
        ? journal.changeIds
        : { ...journal.changeIds, callOff: outcome.document.change.id },
  }));
  await keeper.write('called off');
  await keeper.settled();
  return { kind: 'called off', document: outcome.document, journal: keeper.journal, why };
}

async function finish(
  work: CutoverWork,
  keeper: JournalKeeper,
  watch: Stopwatch,
  settleMs: number,
): Promise<CutoverDone> {
  const { to, epoch } = keeper.journal;
  await keeper.begin('release');
  watch.begin('release');
  await openOwners(work, to, epoch, settleMs);
  await keeper.did('release');
  watch.end(null);
  keeper.note((journal) => endJournal(journal, 'done', null, new Date()));
  await keeper.write('done');
  await keeper.settled();
  const { document } = await readFlag(work);
  return { kind: 'done', document, journal: keeper.journal, timeline: watch.timeline, pauseMs: null, drained: 0 };
}

/** Opens the owner's tables and, should they be open, closes the other's first: never are both open. */
async function openOwners(
  work: CutoverWork,
  owner: 'monolith' | 'service',
  epoch: number,
  settleMs: number,
): Promise<void> {
  const slice = work.forward.sliceName;
  const other = otherSide(owner);
  const fences = await readFences(work);
  if (fences[other]?.state === 'open') {
    const closing = {
      slice,
      epoch: Math.max(epoch, fences[other].epoch),
      owner,
      waitMs: 5_000,
      reason: 'not the owner',
    };
    const outcome = await closeFence(fencePool(work, other), closing);
    if (outcome.kind === 'busy') throw new Error(`the ${other}'s tables, which the ${owner} owns, could not be closed`);
  }
  if (fences[owner] === undefined || fences[owner].state === 'open') return;
  await openSide(work, slice, owner, Math.max(epoch, fences[owner].epoch), settleMs);
}

const lastStep = ({ steps }: CutoverJournal): string => {
  const last = steps.at(-1);
  return last === undefined ? 'its beginning' : `the step "${last.step}"`;
};
