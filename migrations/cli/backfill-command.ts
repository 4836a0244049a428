import type { Command } from 'commander';
import type { MappedTable } from '../engine/apply/row-shape.ts';
import { type BackfillEvent, type BackfillProgress, backfillTable } from '../engine/backfill/backfill.ts';
import type { Throttle } from '../engine/backfill/throttle.ts';
import { withOperationLock } from '../engine/pipe/operation-lock.ts';
import { type BackfillPace, defaultBackfillPace, paceThrottles } from '../engine/stages/backfill-slice.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { timeSpanMs, wholeNumber } from './option-values.ts';
import { type OpenPipe, type PipeOptions, withPipe, withPipeOptions } from './pipe-options.ts';
import { createProgressView, formatRows, formatTook, type ProgressView, type TableProgress } from './progress-view.ts';
import { pickTables, requireCaptured, requireOwnedByMonolith } from './slice-tables.ts';
import { formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';

type BackfillCommandOptions = PipeOptions & {
  table?: string;
  restart?: boolean;
  maxLag: string;
  maxRunning: string;
  json?: boolean;
};

type CopiedTable = Pick<BackfillProgress, 'table' | 'rowsRead' | 'rowsWritten' | 'rowsParked'> & {
  outcome: 'done' | 'stopped';
  tookMs: number;
};

/** `strangler backfill`. */
export const addBackfillCommand = (program: Command, terminal: Terminal): void => {
  withPipeOptions(program.command('backfill <slice>'))
    .description(
      'copy the rows that were there before capture, while everybody writes; Ctrl-C stops after the chunk in hand, and the same command goes on from there',
    )
    .option('--table <name>', 'one table of the slice only')
    .option('--restart', 'begin anew from the first key; rows that are there stay as they are')
    .option(
      '--max-lag <time>',
      'wait while captured changes come later than this',
      `${defaultBackfillPace.maxLagMs / 1000}s`,
    )
    .option(
      '--max-running <count>',
      "wait while more sessions than this are at work in the monolith's database",
      `${defaultBackfillPace.maxRunning}`,
    )
    .option('--json', 'print events as JSON, one a line; the last is the summary')
    .action(async (slice: string, options: BackfillCommandOptions) => {
      const pace: BackfillPace = {
        maxLagMs: timeSpanMs('--max-lag', options.maxLag),
        maxRunning: wholeNumber('--max-running', options.maxRunning, 1),
      };
      await withPipe(options, terminal, slice, async (pipe) => {
        await requireOwnedByMonolith(pipe);
        const all = await pipe.tables();
        const tables = pickTables(all, options.table);
        await requireCaptured(pipe, all);
        const copied = await withOperationLock(pipe.source.write, slice, 'backfill', (lost) =>
          copyTables(pipe, tables, terminal, options, pace, AbortSignal.any([terminal.signal, lost])),
        );
        if (copied.every(({ outcome }) => outcome === 'done')) return;
        throw new CliError(`stopped; "strangler backfill ${slice}" goes on from here`, exitCodes.interrupted);
      });
    });
};

const copyTables = async (
  pipe: OpenPipe,
  tables: readonly MappedTable[],
  terminal: Terminal,
  options: BackfillCommandOptions,
  pace: BackfillPace,
  signal: AbortSignal,
): Promise<CopiedTable[]> => {
  const view = createProgressView(terminal, { json: options.json === true });
  const throttles = paceThrottles(pipe, pace);
  const copied: CopiedTable[] = [];
  try {
    for (const table of tables) {
      const one = await copyTable(
        pipe,
        table,
        view,
        { throttles, signal, restart: options.restart === true },
        terminal,
      );
      copied.push(one);
      if (one.outcome === 'stopped') break;
    }
    const { slice } = pipe.slice;
    const outcome = copied.some((one) => one.outcome === 'stopped') ? 'stopped' : 'done';
    const next = outcome === 'done' ? `\n\nNext: "strangler verify ${slice}" proves that both sides are equal.` : '';
    view.result({ kind: 'summary', slice, outcome, tables: copied }, summaryTable(copied) + next);
    return copied;
  } finally {
    view.close();
  }
};

const copyTable = async (
  { source, target }: OpenPipe,
  table: MappedTable,
  view: ProgressView,
  how: { throttles: readonly Throttle[]; signal: AbortSignal; restart: boolean },
  { log }: Terminal,
): Promise<CopiedTable> => {
  const startedMs = performance.now();
  let before: BackfillEvent | undefined;
  for await (const event of backfillTable({ table, source: source.read, target: target.apply, log, ...how })) {
    before ??= event;
    if (event.kind !== 'done' && event.kind !== 'stopped') {
      view.progress(event, progressOf(event));
      continue;
    }
    const { table: name, rowsRead, rowsWritten, rowsParked, kind } = event;
    const tookMs = Math.round(performance.now() - startedMs);
    const text =
      kind === 'stopped'
        ? `${name}: stopped after ${formatRows(rowsRead)}`
        : before.kind === 'resumed' && before.rowsRead === rowsRead
          ? `${name}: copied before, ${formatRows(rowsRead)}`
          : `${name}: ${formatRows(rowsRead)} in ${formatTook(tookMs)}`;
    view.ended({ ...event, tookMs }, text);
    return { table: name, rowsRead, rowsWritten, rowsParked, outcome: kind, tookMs };
  }
  throw new Error(`${table.mapping.target}: expected its copy to say that it has ended, found nothing said`);
};

const progressOf = (event: BackfillEvent): TableProgress => ({
  table: event.table,
  rows: event.rowsRead,
  rowsEstimate: event.rowsEstimate,
  rowsPerSecond: event.rowsPerSecond,
  etaMs: event.etaMs,
  ...(event.kind === 'waiting' ? { waiting: event.reason } : {}),
});

const summaryTable = (copied: readonly CopiedTable[]): string =>
  formatTable(
    ['TABLE', 'OUTCOME', 'READ', 'WRITTEN', 'WAITING FOR A UNIQUE VALUE', 'TIME'],
    copied.map(({ table, outcome, rowsRead, rowsWritten, rowsParked, tookMs }) => [
      table,
      outcome,
      rowsRead,
      rowsWritten,
      rowsParked,
      formatTook(tookMs),
    ]),
  );
