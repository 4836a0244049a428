import type { Command } from 'commander';
import type { MappedTable } from '../engine/apply/row-shape.ts';
import { formatKey } from '../engine/repair/key-argument.ts';
import { findOrphans, type Orphans } from '../engine/verify/orphans.ts';
import { type VerifyEvent, verifyContinuously, verifyTable } from '../engine/verify/verify.ts';
import { isEqual, recordVerification, type Verification } from '../engine/verify/verify-record.ts';
import { describeDifference, differenceEvent } from './difference-text.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { timeSpanMs, wholeNumber } from './option-values.ts';
import { type OpenPipe, type PipeOptions, withOwnersPipe, withPipeOptions } from './pipe-options.ts';
import {
  createProgressView,
  formatCount,
  formatRows,
  formatTook,
  type ProgressView,
  type TableProgress,
} from './progress-view.ts';
import { pickTables, requireInstalled } from './slice-tables.ts';
import { formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';

type VerifyCommandOptions = PipeOptions & {
  table?: string;
  continuous?: boolean;
  every: string;
  maxDifferences: string;
  patience: string;
  full?: boolean;
  json?: boolean;
};

/** `strangler verify`. */
export const addVerifyCommand = (program: Command, terminal: Terminal): void => {
  withPipeOptions(program.command('verify <slice>'))
    .description('prove, while everybody writes, that both databases hold the same rows; tell every row that differs')
    .option('--table <name>', 'one table of the slice only')
    .option('--continuous', 'round after round until Ctrl-C')
    .option('--every <time>', 'with --continuous: the pause between two rounds', '30s')
    .option('--max-differences <count>', 'end the comparison of a table with one more than this', '1000')
    .option('--patience <time>', 'how long the target may be behind with a row before it is told as unsettled', '10s')
    .option('--full', 'tell whole rows, not only what differs, and no value cut short')
    .option('--json', 'print events as JSON, one a line; the last is the summary')
    .action(async (slice: string, options: VerifyCommandOptions) => {
      const how: Comparison = {
        continuous: options.continuous === true,
        pauseMs: timeSpanMs('--every', options.every),
        maxDifferences: wholeNumber('--max-differences', options.maxDifferences, 0),
        patienceMs: timeSpanMs('--patience', options.patience),
        full: options.full === true,
      };
      await withOwnersPipe(options, terminal, slice, async (pipe) => {
        const tables = pickTables(await pipe.tables(), options.table);
        await requireInstalled(pipe);
        const view = createProgressView(terminal, { json: options.json === true });
        try {
          await compareTables(pipe, tables, view, how, terminal.signal);
        } finally {
          view.close();
        }
      });
    });
};

type Comparison = {
  continuous: boolean;
  pauseMs: number;
  maxDifferences: number;
  patienceMs: number;
  full: boolean;
};

const compareTables = async (
  pipe: OpenPipe,
  tables: readonly MappedTable[],
  view: ProgressView,
  how: Comparison,
  signal: AbortSignal,
): Promise<void> => {
  const { sliceName, source, target } = pipe;
  /** The last result of each table. */
  const results = new Map<string, Verification>();
  let rounds = 0;
  let startedAt = new Date();
  let unsettledTold = 0;
  const sides = { source: source.read, target: target.read };
  const { pauseMs, patienceMs, maxDifferences } = how;
  const options = { ...sides, patienceMs, maxDifferences, signal };
  const events = how.continuous ? verifyContinuously({ ...options, tables, pauseMs }) : eachOnce(tables, options);
  for await (const event of events) {
    if (event.kind === 'begun') {
      startedAt = new Date();
      unsettledTold = 0;
    }
    if (event.kind === 'unsettled') {
      unsettledTold += 1;
      tellUnsettled(event, view, unsettledTold);
    } else tellEvent(event, view, how.full, startedAt);
    if (event.kind !== 'done') continue;
    const { table, rowsCompared, differences, unsettled, complete } = event;
    const result = { table, rowsCompared, differences, unsettled, complete, startedAt, finishedAt: new Date() };
    await recordVerification(target.apply, result);
    results.set(table, result);
    if (how.continuous && table === tables.at(-1)?.mapping.target) {
      rounds += 1;
      tellResults(sliceName, 'round', tables, results, view);
    }
  }
  const interrupted = results.size < tables.length || (signal.aborted && !how.continuous);
  if (how.continuous) view.result({ kind: 'summary', slice: sliceName, rounds }, `${rounds} rounds`);
  else {
    if (!interrupted) await tellOrphans(target.read, tables, view);
    tellResults(sliceName, 'summary', tables, results, view);
  }
  const bad = [...results.values()].filter((result) => !isEqual(result));
  if (bad.length > 0) throw new CliError(sayUnequal(sliceName, bad));
  if (interrupted) throw new CliError('stopped before every table was compared', exitCodes.interrupted);
};

async function* eachOnce(
  tables: readonly MappedTable[],
  options: Omit<Parameters<typeof verifyTable>[0], 'table'>,
): AsyncGenerator<VerifyEvent, void, void> {
  for (const table of tables) {
    if (options.signal?.aborted) return;
    yield* verifyTable({ ...options, table });
  }
}

/** While the pipe stands still every changed row is unsettled: people are told of the first of a table. */
const unsettledShown = 20;

type Unsettled = Extract<VerifyEvent, { kind: 'unsettled' }>;

const tellUnsettled = (event: Unsettled, view: ProgressView, nth: number): void => {
  const row = `${event.table} ${formatKey(Object.values(event.key))}`;
  if (nth <= unsettledShown) view.note(event, `${row}: its change is still under way`);
  else view.note(event, nth === unsettledShown + 1 ? `${event.table}: more rows are unsettled` : null);
};

const tellEvent = (
  event: Exclude<VerifyEvent, Unsettled>,
  view: ProgressView,
  full: boolean,
  startedAt: Date,
): void => {
  if (event.kind === 'difference') {
    view.result(differenceEvent(event.difference, full), describeDifference(event.difference, full));
  } else if (event.kind === 'stopped') {
    view.ended(event, `${event.table}: stopped after ${formatRows(event.rowsCompared)}`);
  } else if (event.kind === 'done') {
    const took = formatTook(Date.now() - startedAt.getTime());
    const rest = event.complete ? '' : '; the rest was not compared';
    view.ended(event, `${event.table}: ${formatRows(event.rowsCompared)} compared in ${took}${rest}`);
  } else view.progress(event, progressOf(event));
};

const progressOf = (event: Extract<VerifyEvent, { rowsEstimate: number }>): TableProgress => ({
  table: event.table,
  rows: event.rowsCompared,
  rowsEstimate: event.rowsEstimate,
  rowsPerSecond: event.rowsPerSecond,
  etaMs: event.etaMs,
  ...(event.kind === 'waiting' ? { waiting: event.reason } : {}),
});

const tellOrphans = async (
  target: OpenPipe['target']['read'],
  tables: readonly MappedTable[],
  view: ProgressView,
): Promise<void> => {
  for (const { target: table } of tables) {
    for (const orphans of await findOrphans(target, table))
      view.note({ kind: 'orphans', ...orphans }, sayOrphans(orphans));
  }
};

const sayOrphans = ({ table, foreignKey, referencedTable, rows }: Orphans): string =>
  `warning: ${rows === 1000 ? '1,000 rows or more' : formatCount(rows)} of ${table} point at no row of ${referencedTable} (${foreignKey}): ` +
  'their parents are still on the way, or the monolith has none either';

const tellResults = (
  slice: string,
  kind: 'round' | 'summary',
  tables: readonly MappedTable[],
  results: ReadonlyMap<string, Verification>,
  view: ProgressView,
): void => {
  const found = tables.flatMap(({ mapping }) => results.get(mapping.target) ?? []);
  const equal = found.length === tables.length && found.every(isEqual);
  view.result({ kind, slice, equal, tables: found }, resultsTable(found));
};

const resultsTable = (results: readonly Verification[]): string =>
  formatTable(
    ['TABLE', 'ROWS COMPARED', 'DIFFERENCES', 'UNSETTLED', 'TIME', 'RESULT'],
    results.map((result) => [
      result.table,
      result.rowsCompared,
      result.differences,
      result.unsettled,
      formatTook(result.finishedAt.getTime() - result.startedAt.getTime()),
      isEqual(result) ? 'equal' : result.complete ? 'not equal' : 'not equal, and not all compared',
    ]),
  );

const sayUnequal = (slice: string, bad: readonly Verification[]): string => {
  const sum = (of: (result: Verification) => number) => bad.reduce((total, result) => total + of(result), 0);
  const differences = sum((result) => result.differences);
  const unsettled = sum((result) => result.unsettled);
  const remedy =
    differences > 0
      ? `"strangler repair ${slice} --differences --reason …" mends them through the pipe`
      : 'see that relay and applier run, then verify again';
  return `${slice}: expected both sides to be equal, found ${differences} differences and ${unsettled} rows unsettled; ${remedy}`;
};
