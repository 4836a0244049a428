import type { Stage } from '@strangler/platform/contracts/flag-document.ts';
import type { Drift } from '../capture/drift.ts';
import type { PipeLag } from '../pipe/lag.ts';
import type { Finding } from '../preflight/finding.ts';
import { isEqual, type Verification } from '../verify/verify-record.ts';

/** Conditions that a stage change must meet. */
export type GateName =
  | 'preflight'
  | 'target-empty'
  | 'relay'
  | 'capture'
  | 'backfill'
  | 'lag'
  | 'applier'
  | 'parked'
  | 'dead-letters'
  | 'verify'
  /** Nothing of an earlier comparison of live answers is left. */
  | 'report'
  /** How many live answers of both sides were compared, of which kinds, and how many differ unexplained. */
  | 'samples'
  | 'coverage'
  | 'mismatches'
  /** How the canary fares. */
  | 'canary'
  /** Slices that move before this one, or back after it, have done so. */
  | 'order'
  /** What other slices copy of the tables that are about to be put away. */
  | 'copies'
  /** Every proxy that lives is known, and answers. */
  | 'proxies'
  /** The fences of both databases are as installed. */
  | 'fence'
  /** No transaction stays open that has written the slice's tables. */
  | 'writers'
  /** What flows back once ownership has moved: its relay and its applier, shown by a row that went round. */
  | 'way-back';

/** One measured condition. */
export type Verdict = {
  gate: GateName;
  state: 'open' | 'shut';
  found: string;
  bound: string;
  /** What opens it; null where it is open. */
  todo: string | null;
  /** Whether `--force` goes past it: never where what follows could lose a change. */
  forcible: boolean;
};

/** What is measured before capture is installed. */
export type SyncFigures = {
  slice: string;
  findings: readonly Finding[];
  /** Target tables of the slice that hold rows, or of which the pipe remembers some. */
  filledTargets: readonly string[];
  /** Age of the oldest outbox row that is not published; null where there is no outbox yet. */
  oldestUnpublishedMs: number | null;
};

export type BackfilledTable = { table: string; state: 'done' | 'running' | 'not begun'; rowsRead: number };

export type VerifiedTable = Omit<Verification, 'startedAt' | 'finishedAt'>;

/** What is measured before the service's answers are worth comparing. */
export type ShadowFigures = {
  slice: string;
  drift: readonly Drift[];
  backfill: readonly BackfilledTable[];
  lag: PipeLag;
  /** Of the applier's queues, those that somebody consumes, and how many there are. */
  consumed: { queues: number; of: number };
  parked: number;
  deadLetters: number;
  /** Null where it was not compared, because another gate is shut. */
  verified: readonly VerifiedTable[] | null;
};

export type GateBounds = { maxLagMs: number; maxUnpublishedMs: number };

export const defaultGateBounds: GateBounds = { maxLagMs: 1_000, maxUnpublishedMs: 10_000 };

/** The gates into `sync`. */
export const judgeSync = (figures: SyncFigures, { maxUnpublishedMs } = defaultGateBounds): Verdict[] => {
  const { slice, findings, filledTargets, oldestUnpublishedMs } = figures;
  const refusals = findings.filter(({ level }) => level === 'refuse');
  return [
    verdict({
      gate: 'preflight',
      isOpen: refusals.length === 0,
      found: refusals.length === 0 ? `${findings.length} warnings` : count(refusals.length, 'refusal'),
      bound: 'no refusal',
      todo: refusals.map(({ where, reason, remedy }) => `${where}: ${reason}; ${remedy}`).join('\n'),
      forcible: false,
    }),
    verdict({
      gate: 'target-empty',
      isOpen: filledTargets.length === 0,
      found: filledTargets.length === 0 ? 'nothing' : `rows, or what is known of some, in ${filledTargets.join(', ')}`,
      bound: 'nothing in the target tables',
      todo: `rows that are there would stay as they are, right or wrong: empty these tables, or where a rollback did not end, "strangler rollback ${slice}"`,
      forcible: false,
    }),
    verdict({
      gate: 'relay',
      isOpen: oldestUnpublishedMs === null || oldestUnpublishedMs <= maxUnpublishedMs,
      found:
        oldestUnpublishedMs === null ? 'no outbox yet' : `oldest unpublished row ${seconds(oldestUnpublishedMs)} old`,
      bound: `at most ${seconds(maxUnpublishedMs)}`,
      todo: 'see that a relay runs on the source and reaches RabbitMQ: its /health/ready and its log say what it waits for',
      forcible: true,
    }),
  ];
};

/** The gates into `shadow`. */
export const judgeShadow = (figures: ShadowFigures, { maxLagMs } = defaultGateBounds): Verdict[] => {
  const { slice, drift, backfill, lag, consumed, parked, deadLetters, verified } = figures;
  const unfinished = backfill.filter(({ state }) => state !== 'done');
  const unequal = verified?.filter((table) => !isEqual(table)) ?? [];
  const rows = verified?.reduce((sum, { rowsCompared }) => sum + rowsCompared, 0) ?? 0;
  return [
    verdict({
      gate: 'capture',
      isOpen: drift.length === 0,
      found: drift.length === 0 ? 'as installed' : drift.map(({ kind, name }) => `${name} ${kind}`).join(', '),
      bound: 'no drift',
      todo: `${drift.map(({ table, reason }) => `${table}: ${reason}`).join('; ')}. Changes may have been lost: "strangler rollback ${slice}", then advance anew`,
      forcible: false,
    }),
    verdict({
      gate: 'backfill',
      isOpen: unfinished.length === 0,
      found:
        unfinished.length === 0
          ? `${count(backfill.length, 'table')} done`
          : unfinished.map(({ table, state, rowsRead }) => `${table} ${state} (${rowsRead} rows)`).join(', '),
      bound: 'every table done',
      todo: `"strangler backfill ${slice}" goes on where it stopped`,
      forcible: false,
    }),
    verdict({
      gate: 'applier',
      isOpen: consumed.queues === consumed.of,
      found: `${consumed.queues} of ${consumed.of} queues consumed`,
      bound: 'all of them',
      todo: `see that an applier of ${slice} runs: its /health/ready and its log say what it waits for`,
      forcible: false,
    }),
    verdict({
      gate: 'lag',
      isOpen: lag.lagMs <= maxLagMs,
      found: `${seconds(lag.lagMs)} (${lag.unpublished} changes not published, ${lag.unapplied} not applied)`,
      bound: `at most ${seconds(maxLagMs)}`,
      todo: 'see that relay and applier run, and whether the target keeps up; then try again',
      forcible: true,
    }),
    verdict({
      gate: 'parked',
      isOpen: parked === 0,
      found: count(parked, 'change'),
      bound: '0 changes that wait for a unique value',
      todo: `"strangler verify ${slice}" shows the row of the target that keeps a value which the source has given to another`,
      forcible: true,
    }),
    verdict({
      gate: 'dead-letters',
      isOpen: deadLetters === 0,
      found: count(deadLetters, 'dead letter'),
      bound: '0 dead letters',
      todo: `"strangler dlq list ${slice}" says why; mend the cause, then "strangler dlq replay ${slice} --all"`,
      forcible: true,
    }),
    verdict({
      gate: 'verify',
      isOpen: verified !== null && unequal.length === 0,
      found:
        verified === null
          ? 'not compared yet'
          : unequal.length === 0
            ? `${rows} rows of ${count(verified.length, 'table')}, 0 differences`
            : unequal.map(told).join(', '),
      bound: '0 differences, 0 unsettled',
      todo:
        verified === null
          ? `"strangler advance ${slice}" compares every row once the other gates are open, "strangler verify ${slice}" at any time`
          : `"strangler verify ${slice}" shows the rows, "strangler repair ${slice} --differences" mends them through the pipe`,
      forcible: true,
    }),
  ];
};

/** A slice that copies a table of another's, and where it stands; null: its flags were never made. */
export type Copier = { slice: string; table: string; stage: Stage | null; ends: boolean };

/**
 * The gate into `complete` that looks at the other slices: nobody may lose what he copies from before he can do without, which is when
 * the writes are his service's and his file says so. Who has not begun loses nothing but his beginning, and is named.
 */
export const judgeCopies = (slice: string, copiers: readonly Copier[]): Verdict => {
  const begun = copiers.filter(({ stage }) => stage !== null && stage !== 'monolith');
  const lasting = begun.filter(({ ends }) => !ends);
  const early = begun.filter(({ ends, stage }) => ends && stage !== 'writes' && stage !== 'complete');
  const standing = [
    ...lasting.map((one) => `${one.slice} copies ${one.table} for good`),
    ...early.map((one) => `${one.slice} copies ${one.table} and is at ${one.stage}`),
  ];
  const waiting = [...new Set(copiers.filter((one) => !begun.includes(one)).map((one) => one.slice))];
  const unhindered =
    waiting.length === 0 ? 'none' : `none; ${waiting.join(', ')} would have nothing to copy from, and cannot begin`;
  const todo =
    lasting[0] === undefined
      ? `take ${early[0]?.slice} to writes first`
      : `let the service of ${lasting[0].slice} learn of changes otherwise, and write \`until: ${slice}\` at the table in its slice file`;
  return verdict({
    gate: 'copies',
    isOpen: standing.length === 0,
    found: standing.length === 0 ? unhindered : standing.join(', '),
    bound: 'no copy of these tables that another slice needs',
    todo,
    forcible: false,
  });
};

/** As `judgeShadow`, but for what a copy of rows that stood before has to do with: there is none on the way back. */
export const judgeFlow = (figures: ShadowFigures, bounds = defaultGateBounds): Verdict[] =>
  judgeShadow(figures, bounds).filter(({ gate }) => gate !== 'backfill');

/** Gates that stand in the way; with `force`, those that may not be forced. */
export const standingGates = (verdicts: readonly Verdict[], force: boolean): Verdict[] =>
  verdicts.filter(({ state, forcible }) => state === 'shut' && !(force && forcible));

const told = ({ table, complete, rowsCompared, differences, unsettled }: VerifiedTable): string => {
  const parts = [`${differences} differences`, `${unsettled} unsettled`];
  if (!complete) parts.push('not compared to the end');
  return `${table}: ${parts.join(', ')} in ${rowsCompared} rows`;
};

type Measured = Omit<Verdict, 'state' | 'todo'> & { isOpen: boolean; todo: string };

const verdict = ({ isOpen, todo, ...rest }: Measured): Verdict => ({
  ...rest,
  state: isOpen ? 'open' : 'shut',
  todo: isOpen ? null : todo,
});

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

const seconds = (ms: number): string => (ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`);
