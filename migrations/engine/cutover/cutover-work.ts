import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import type { CutoverJournal, JournalStep } from '@strangler/platform/contracts/cutover-journal.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import type { PipeDatabases } from '../pipe/open-databases.ts';
import type { GateName, Verdict } from '../stages/gates.ts';
import type { StageEvent, StageWork } from '../stages/stage-work.ts';
import { otherSide, type Side } from './journal.ts';

/** What a cut-over works on and with. */
export type CutoverWork = Omit<StageWork, 'databases' | 'tell'> & {
  /** The same two databases, as each pipe has them. */
  forward: PipeDatabases;
  reverse: PipeDatabases;
  /** Where proxies tell that they are alive and that they hold; and the root of the flags' keys. */
  consul: { client: ConsulClient; root: string };
  /** The other slices of the monolith; none unless told. */
  others?: readonly Pick<Slice, 'slice' | 'after' | 'tables'>[];
  /** Under which proxies register, `strangler-proxy` unless told. */
  proxyService?: string;
  /** Called as it goes; for people and for records. */
  tell(event: CutoverEvent): void;
  /** Awaited after each write of the journal and after each step; for tests. */
  reached?(point: string): Promise<void> | void;
};

export type CutoverEvent =
  | StageEvent
  /** A step of the journal has begun or ended. */
  | { kind: 'cutover'; step: JournalStep; state: 'begun' }
  | { kind: 'cutover'; step: JournalStep; state: 'ended'; ms: number; waitedFor: string | null }
  | { kind: 'gates of the cut-over'; verdicts: CutoverVerdict[] };

/** One step of a cut-over that was done. */
export type TimelineStep = { step: JournalStep; ms: number; waitedFor: string | null };

export type CutoverDone = {
  kind: 'done';
  document: FlagDocument;
  journal: CutoverJournal;
  timeline: TimelineStep[];
  /** From the hold's first being asked for until the new owner's tables were open; null where another began it. */
  pauseMs: number | null;
  /** Rows that were changed between the last look before the hold and the fence. */
  drained: number;
};

export type CutoverCalledOffOutcome = {
  kind: 'called off';
  document: FlagDocument;
  journal: CutoverJournal;
  why: string;
};

export type CutoverGate = GateName | 'stage' | 'resume' | 'applied';

/** One measured condition of a cut-over. */
export type CutoverVerdict = Omit<Verdict, 'gate'> & { gate: CutoverGate };

/** A gate is shut: nothing that a client could notice was changed. The message has a line a gate. */
export class CutoverRefused extends Error {
  override name = 'CutoverRefused';
  readonly verdicts: readonly CutoverVerdict[];

  constructor(slice: string, to: Side, verdicts: readonly CutoverVerdict[]) {
    const lines = verdicts.map(
      ({ gate, found, bound, todo }) =>
        `  ${gate}: expected ${bound}, found ${found}${todo === null ? '' : `; ${todo}`}`,
    );
    const again = `"strangler ${to === 'service' ? 'advance' : 'rollback'} ${slice}"`;
    super(
      `${slice}: the writes do not move to the ${to}, a gate is shut; who owns them has not changed, and nothing was held\n${lines.join('\n')}\n  then again ${again}`,
    );
    this.verdicts = verdicts;
  }
}

/** A cut-over was begun and called off: the writes are where they were. */
export class CutoverCalledOff extends Error {
  override name = 'CutoverCalledOff';
  readonly outcome: CutoverCalledOffOutcome;

  constructor(outcome: CutoverCalledOffOutcome, options?: ErrorOptions) {
    const { slice, from, to } = outcome.journal;
    const again = `"strangler ${to === 'service' ? 'advance' : 'rollback'} ${slice}"`;
    super(
      `${slice}: the cut-over to the ${to} was called off: ${outcome.why}; writes that were held went to the ${from}, ` +
        `its tables are open and it owns them under epoch ${outcome.document.epoch}; mend the cause, then ${again}`,
      options,
    );
    this.outcome = outcome;
  }
}

/** A cut-over can neither be finished nor called off, because a server is away. No write is taken by two owners. */
export class CutoverInterrupted extends Error {
  override name = 'CutoverInterrupted';
  readonly journal: CutoverJournal;

  constructor(journal: CutoverJournal, why: string, options?: ErrorOptions) {
    const until = journal.deadline === null ? '' : ` after ${journal.deadline}`;
    super(
      `${journal.slice}: the cut-over to the ${journal.to} could be neither finished nor called off: ${why}; writes of the slice ` +
        `are answered 503${until} until it is: see that the servers are there, then "strangler resume ${journal.slice}"`,
      options,
    );
    this.journal = journal;
  }
}

/** What a step finds to stand in the way; before the commit it calls the cut-over off. */
export class StepFailed extends Error {
  override name = 'StepFailed';
}

/** The pipes of a cut-over, by the way it goes. */
export type CutoverPipes = {
  slice: string;
  from: Side;
  to: Side;
  /** Flows from the old owner to the new one. */
  pipe: PipeDatabases;
  /** Flows from the new owner to the old one. */
  back: PipeDatabases;
};

export const pipesOf = ({ forward, reverse }: Pick<CutoverWork, 'forward' | 'reverse'>, to: Side): CutoverPipes => ({
  slice: forward.slice.slice,
  from: otherSide(to),
  to,
  ...(to === 'service' ? { pipe: forward, back: reverse } : { pipe: reverse, back: forward }),
});

/** Sessions of an ordinary user in a side's database, which move its fence. */
export const fencePool = ({ forward, reverse }: Pick<CutoverWork, 'forward' | 'reverse'>, side: Side) =>
  (side === 'monolith' ? forward : reverse).source.write;

/** The tables that move with a slice: not the reference ones, nor what the pipes have of their own. */
export const movingTables = (
  { forward }: Pick<CutoverWork, 'forward'>,
  from: Side,
  tables: readonly MappedTable[],
): MappedTable[] => {
  const moving = new Set(
    forward.slice.tables
      .filter(({ reference }) => !reference)
      .map(({ source, target }) => (from === 'monolith' ? source : target).toLowerCase()),
  );
  return tables.filter(({ mapping }) => moving.has(mapping.source.toLowerCase()));
};

export const msText = (ms: number): string => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);
