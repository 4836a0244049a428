import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { SliceNotMappable } from '../pipe/open-databases.ts';
import { withOperationLock } from '../pipe/operation-lock.ts';
import { shutGate } from './cutover-gates.ts';
import {
  CutoverCalledOff,
  type CutoverDone,
  CutoverInterrupted,
  type CutoverPipes,
  CutoverRefused,
  type CutoverWork,
  movingTables,
  pipesOf,
  StepFailed,
} from './cutover-work.ts';
import { beginJournal, describeStep, endJournal, type Side } from './journal.ts';
import { JournalKeeper } from './journal-keeper.ts';
import { insertJournal } from './journal-table.ts';
import { passGates } from './measure-cutover.ts';
import { arm } from './steps/arm.ts';
import { callOff } from './steps/call-off.ts';
import { commit, committedDocument, requireHold } from './steps/commit.ts';
import { drain } from './steps/drain.ts';
import { fence } from './steps/fence.ts';
import { heldDocument, hold, stoppedText } from './steps/hold.ts';
import { type Prepared, prepare } from './steps/prepare.ts';
import { openSide } from './steps/release.ts';
import { Stopwatch } from './stopwatch.ts';
import { readFlag } from './write-flag.ts';

/** How long proxies may take, unless told, to have no write of the slice under way. */
export const defaultHoldMs = 5_000;

export type CutoverOptions = {
  /** The side that takes the slice's writes from then on. */
  to: Side;
  /** How long proxies may take to have no write of the slice under way, `defaultHoldMs` unless told. */
  holdMs?: number;
  /** How long transactions that have written may take to end, 1000 unless told. */
  fenceMs?: number;
  /** How long the last changes may take to be applied, 3000 unless told. */
  drainMs?: number;
  /** How long a row may take round the pipe back, before anything is held; 15 000 unless told. */
  canaryMs?: number;
  /** How long what was written before the hold may take to be applied, 60 000 unless told. */
  patienceMs?: number;
  /** How old the last comparison of all rows may be, 600 000 unless told; else they are compared anew. */
  verifyWithinMs?: number;
  /** How long to try, while servers are away, to finish what is committed or to call off; 30 000 unless told. */
  settleMs?: number;
  /** Beyond the bounds of the steps, until proxies hold no longer: what the coordinator needs between them; 3000 unless told. */
  slackMs?: number;
  /** Goes past the gates that may be forced. */
  force?: boolean;
};

/**
 * Moves the ownership of a slice's writes to one side: everything is made ready unnoticed, writes are held, the old
 * owner's tables are closed, the last changes are waited for, and one change of the flags commits. Before that any
 * failure, and the signal, call it off; after it, it is finished.
 * @throws CutoverRefused where a gate is shut, CutoverCalledOff, CutoverInterrupted where a server is away for too long,
 * OperationUnderWay where another operation works on the slice
 */
export async function runCutover(work: CutoverWork, options: CutoverOptions): Promise<CutoverDone> {
  const pipes = pipesOf(work, options.to);
  const what = `the cut-over to the ${options.to}`;
  return await withOperationLock(work.forward.source.write, pipes.slice, what, async (lost) => {
    const signal = AbortSignal.any([work.signal, lost]);
    return await new Cutover({ ...work, signal }, pipes, options).run();
  });
}

/** One cut-over under way. */
class Cutover {
  readonly #work: CutoverWork;
  readonly #pipes: CutoverPipes;
  readonly #options: Required<CutoverOptions>;
  readonly #watch: Stopwatch;
  #heldAtMs: number | null = null;
  #drained = 0;

  constructor(work: CutoverWork, pipes: CutoverPipes, options: CutoverOptions) {
    this.#work = work;
    this.#pipes = pipes;
    this.#options = {
      holdMs: defaultHoldMs,
      fenceMs: 1_000,
      drainMs: 3_000,
      canaryMs: 15_000,
      patienceMs: 60_000,
      verifyWithinMs: 600_000,
      settleMs: 30_000,
      slackMs: 3_000,
      force: false,
      ...options,
    };
    this.#watch = new Stopwatch(work.tell);
  }

  async run(): Promise<CutoverDone> {
    const { document } = await readFlag(this.#work);
    const all = await this.#tables();
    const moving = movingTables(this.#work, this.#pipes.from, all);
    await passGates(this.#work, this.#pipes, { all, moving }, document, this.#options);
    this.#unlessStopped();

    const journal = beginJournal(document, this.#pipes.to, this.#work.author);
    await insertJournal(this.#work.forward.source.write, journal);
    const { consul, log, reached = () => {} } = this.#work;
    const keeper = new JournalKeeper({ journal, db: this.#work.forward.source.write, consul, log, reached });
    const prepared = await this.#prepare(keeper, moving, document);
    try {
      await this.#untilCommit(keeper, moving, document, prepared);
    } catch (error) {
      if (error instanceof CutoverInterrupted) throw error;
      return await this.#callOff(keeper, error);
    }
    return await this.#finish(keeper);
  }

  async #tables() {
    try {
      return await this.#pipes.pipe.tables();
    } catch (error) {
      if (!(error instanceof SliceNotMappable)) throw error;
      const { slice, to } = this.#pipes;
      throw new CutoverRefused(slice, to, [
        shutGate('preflight', error.message, 'tables that can be copied', 'mend what is named'),
      ]);
    }
  }

  /** Nothing is held yet: what fails is told as it is, and there is nothing to give back. */
  async #prepare(keeper: JournalKeeper, moving: readonly MappedTable[], document: FlagDocument): Promise<Prepared> {
    const { slice, to } = this.#pipes;
    try {
      await keeper.begin('prepare');
      this.#watch.begin('prepare');
      const prepared = await prepare(this.#work, this.#pipes, moving, document, this.#options);
      this.#unlessStopped();
      keeper.note((journal) => ({ ...describeStep(journal, prepared.detail), floor: prepared.floor }));
      await keeper.did('prepare');
      this.#watch.end(prepared.detail);
      return prepared;
    } catch (error) {
      const why = this.#work.signal.aborted ? stoppedText : textOf(error);
      keeper.note((journal) => endJournal(journal, 'called off', why, new Date()));
      await keeper.write('called off').catch((failure) => this.#work.log.warn({ err: failure }, 'not in the journal'));
      await keeper.settled();
      if (error instanceof CutoverRefused && !this.#work.signal.aborted) throw error;
      if (error instanceof SliceNotMappable) {
        const verdict = shutGate('preflight', error.message, 'a pipe back that can be made', 'mend what is named');
        throw new CutoverRefused(slice, to, [verdict]);
      }
      if (!this.#work.signal.aborted) throw error;
      throw new CutoverCalledOff({ kind: 'called off', document, journal: keeper.journal, why }, { cause: error });
    }
  }

  async #untilCommit(
    keeper: JournalKeeper,
    moving: readonly MappedTable[],
    document: FlagDocument,
    { allotters, floor }: Prepared,
  ): Promise<void> {
    const { holdMs, fenceMs, drainMs, slackMs } = this.#options;
    const { signal, author } = this.#work;
    const { epoch } = keeper.journal;

    const stored = await readFlag(this.#work);
    if (stored.document.change.id !== document.change.id) {
      throw new StepFailed(`${stored.document.change.by} changed the flags while everything was made ready`);
    }
    const deadline = new Date(Date.now() + holdMs + fenceMs + drainMs + slackMs).toISOString();
    const held = heldDocument(stored, this.#pipes, author, deadline);
    keeper.note((journal) => ({ ...journal, deadline, changeIds: { ...journal.changeIds, hold: held.change.id } }));
    await this.#step(keeper, 'hold', async () => {
      this.#heldAtMs = performance.now();
      return await hold(this.#work, this.#pipes, held, stored.index, { holdMs, signal });
    });
    await this.#step(keeper, 'fence', () => fence(this.#work, this.#pipes, epoch, fenceMs));
    await this.#step(keeper, 'drain', async () => {
      this.#drained = await drain(this.#pipes, moving, floor, { drainMs, signal });
      return `${this.#drained} row${this.#drained === 1 ? '' : 's'} to be applied`;
    });
    const unchanged = requireHold(this.#work, held.change.id);
    // Told when it is waited for.
    unchanged.catch(() => {});
    await this.#step(keeper, 'arm', () => arm(this.#pipes, allotters, epoch));
    const again = await unchanged;
    const owned = committedDocument(again, this.#pipes.to, epoch, author);
    keeper.note((journal) => ({ ...journal, changeIds: { ...journal.changeIds, commit: owned.change.id } }));
    await keeper.begin('commit');
    this.#watch.begin('commit');
    keeper.requireCopy();
    this.#unlessStopped();
    const outcome = await commit(this.#work, owned, again.index);
    if (outcome.kind === 'unknown') await this.#interrupted(keeper, outcome.error);
    if (outcome.kind === 'not committed') throw new StepFailed(outcome.why);
    if (outcome.kind === 'committed') this.#work.tell({ kind: 'stage', document: outcome.document });
    await keeper.did('commit');
    this.#watch.end(null);
  }

  async #step(
    keeper: JournalKeeper,
    step: 'hold' | 'fence' | 'drain' | 'arm',
    work: () => Promise<string>,
  ): Promise<void> {
    this.#unlessStopped();
    await keeper.begin(step);
    this.#watch.begin(step);
    const detail = await work();
    keeper.note((journal) => describeStep(journal, detail));
    this.#watch.end(detail);
    await keeper.did(step);
  }

  /** The commit has been seen: nothing calls this off any more. */
  async #finish(keeper: JournalKeeper): Promise<CutoverDone> {
    const { slice, to } = this.#pipes;
    const { settleMs } = this.#options;
    this.#watch.begin('release');
    // The tables are opened first: writers wait for them, and for the journal nobody waits.
    const opened = openSide(this.#work, slice, to, keeper.journal.epoch, settleMs);
    const noted = keeper.begin('release').catch((error) => {
      this.#work.log.warn({ err: error, slice }, 'the release is not in the journal');
    });
    try {
      await opened;
    } catch (error) {
      await noted;
      return await this.#interrupted(keeper, error);
    }
    const pauseMs = this.#heldAtMs === null ? null : performance.now() - this.#heldAtMs;
    await noted;
    await keeper.did('release');
    this.#watch.end(null);
    try {
      keeper.note((journal) => endJournal(journal, 'done', null, new Date()));
      await keeper.write('done');
    } catch (error) {
      return await this.#interrupted(keeper, error);
    }
    await keeper.settled();
    const { document } = await readFlag(this.#work);
    return {
      kind: 'done',
      document,
      journal: keeper.journal,
      timeline: this.#watch.timeline,
      pauseMs,
      drained: this.#drained,
    };
  }

  async #callOff(keeper: JournalKeeper, cause: unknown): Promise<CutoverDone> {
    const why = this.#work.signal.aborted ? stoppedText : textOf(cause);
    try {
      await keeper.begin('call off').catch((error) => {
        this.#work.log.warn({ err: error }, 'the calling off is not in the journal');
      });
      this.#watch.begin('call off');
      const outcome = await callOff(this.#work, keeper.journal, why, this.#options.settleMs);
      if (outcome.kind === 'committed') return await this.#finish(keeper);
      const { document } = outcome;
      await keeper.did('call off');
      this.#watch.end(why);
      keeper.note((journal) => ({
        ...endJournal(describeStep(journal, why), 'called off', why, new Date()),
        changeIds: { ...journal.changeIds, callOff: document.change.id },
      }));
      await keeper.write('called off');
      await keeper.settled();
      throw new CutoverCalledOff({ kind: 'called off', document, journal: keeper.journal, why }, { cause });
    } catch (error) {
      if (error instanceof CutoverCalledOff || error instanceof CutoverInterrupted) throw error;
      return await this.#interrupted(keeper, error);
    }
  }

  async #interrupted(keeper: JournalKeeper, error: unknown): Promise<never> {
    const why = textOf(error);
    keeper.note((journal) => endJournal(journal, 'waiting for resume', why, new Date()));
    await keeper.write('waiting for resume').catch((failure) => {
      this.#work.log.warn({ err: failure }, 'not in the journal');
    });
    await keeper.settled();
    throw new CutoverInterrupted(keeper.journal, why, { cause: error });
  }

  #unlessStopped(): void {
    if (this.#work.signal.aborted) throw new StepFailed(stoppedText);
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
