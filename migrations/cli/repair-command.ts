import { hostname } from 'node:os';
import { pause } from '@strangler/platform/backoff.ts';
import { formatVersion } from '@strangler/platform/contracts/row-message.ts';
import type { Command } from 'commander';
import type { MappedTable } from '../engine/apply/row-shape.ts';
import type { KeyPlace } from '../engine/backfill/key-range.ts';
import { checkKeys, formatKey, parseKey } from '../engine/repair/key-argument.ts';
import { type Touched, touchRows } from '../engine/repair/touch.ts';
import { lookAtRows, type RowLook } from '../engine/verify/look-at-rows.ts';
import { verifyTable } from '../engine/verify/verify.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { timeSpanMs, wholeNumber } from './option-values.ts';
import { type OpenPipe, type PipeOptions, withOwnersPipe, withPipeOptions } from './pipe-options.ts';
import { createProgressView, formatCount, formatRows, type ProgressView } from './progress-view.ts';
import { pickTables, requireInstalled } from './slice-tables.ts';
import { formatTable } from './table.ts';
import { authorOf, type Terminal } from './terminal.ts';

type RepairCommandOptions = PipeOptions & {
  table?: string;
  key: string[];
  differences?: boolean;
  limit: string;
  wait: string;
  dryRun?: boolean;
  reason?: string;
  json?: boolean;
};

/** Rows of one table that are to be mended. */
type Chosen = { table: MappedTable; keys: KeyPlace[] };

/** So many rows are locked and recorded before Ctrl-C is looked for. */
const touchedAtOnce = 100;

/** `strangler repair`. */
export const addRepairCommand = (program: Command, terminal: Terminal): void => {
  withPipeOptions(program.command('repair <slice>'))
    .description('send rows through the pipe again, as the side that owns them has them, over whatever the other holds')
    .option('--table <name>', 'the table of the rows; needed with --key where the slice has several')
    .option('--key <key>', 'a row: the values of its key columns joined by /; again for more', collect, [])
    .option('--differences', 'every row that differs now')
    .option('--limit <count>', 'with --differences: refuse to mend more rows than this', '1000')
    .option('--wait <time>', 'how long to wait until they are mended; 0 does not wait', '30s')
    .option('--dry-run', 'say what would be done, and do nothing')
    .option('--reason <text>', 'why: recorded with each change, as its request')
    .option('--json', 'print events as JSON, one a line; the last is the summary')
    .action(async (slice: string, options: RepairCommandOptions) => {
      const limit = wholeNumber('--limit', options.limit, 1);
      const waitMs = timeSpanMs('--wait', options.wait);
      const reason = checkOptions(options);
      await withOwnersPipe(options, terminal, slice, async (pipe) => {
        const tables = pickTables(await pipe.tables(), options.table);
        await requireInstalled(pipe);
        const view = createProgressView(terminal, { json: options.json === true });
        try {
          const chosen =
            options.differences === true
              ? await findDifferent(pipe, tables, limit, view, terminal.signal)
              : [await chooseByKey(pipe, tables, options.key)];
          if (reason === null) return await tellPlan(pipe, chosen, view);
          const writer = { user: writerOf(terminal), request: reason };
          await mend(pipe, chosen, { writer, waitMs, view, signal: terminal.signal });
        } finally {
          view.close();
        }
      });
    });
};

const collect = (value: string, all: string[]): string[] => [...all, value];

/** The reason; null for a dry run. */
const checkOptions = ({ key, differences, dryRun, reason }: RepairCommandOptions): string | null => {
  if (key.length > 0 === (differences === true)) {
    throw new CliError('expected either --key, once or more, or --differences', exitCodes.usage);
  }
  if (dryRun === true) return null;
  if (reason !== undefined && reason.trim() !== '') return reason;
  throw new CliError('expected --reason <text>: it is recorded with each change; or --dry-run', exitCodes.usage);
};

/** As the database names a session, for those who list writers. */
const writerOf = (terminal: Terminal): string => {
  const author = authorOf(terminal);
  return author.includes('@') ? author : `${author}@${hostname()}`;
};

const chooseByKey = async (
  pipe: OpenPipe,
  tables: readonly MappedTable[],
  texts: readonly string[],
): Promise<Chosen> => {
  const [table, ...others] = tables;
  if (table === undefined || others.length > 0) {
    const known = tables.map(({ mapping }) => mapping.source).join(', ');
    throw new CliError(`--key: expected --table <name> with it (${known}), found none`, exitCodes.usage);
  }
  const keys = texts.map((text) => parseKey(table, text));
  await checkKeys(pipe.source.read, table, keys);
  return { table, keys };
};

const findDifferent = async (
  { sliceName, source, target }: OpenPipe,
  tables: readonly MappedTable[],
  limit: number,
  view: ProgressView,
  signal: AbortSignal,
): Promise<Chosen[]> => {
  const chosen: Chosen[] = [];
  let left = limit;
  for (const table of tables) {
    const keys: KeyPlace[] = [];
    const options = { table, source: source.read, target: target.read, maxDifferences: left, signal };
    for await (const event of verifyTable(options)) {
      if (event.kind === 'stopped') throw new CliError('stopped; nothing was changed', exitCodes.interrupted);
      if (event.kind === 'begun' || event.kind === 'chunk') {
        view.progress(event, { ...event, rows: event.rowsCompared });
      }
      if (event.kind === 'difference') {
        const { key } = event.difference;
        keys.push(table.mapping.key.map((name) => key[name] as string));
      }
      if (event.kind !== 'done') continue;
      view.ended(event, `${event.table}: ${formatRows(keys.length)} differ of ${formatCount(event.rowsCompared)}`);
      if (event.complete) continue;
      throw new CliError(
        `${sliceName}: expected at most ${formatCount(limit)} rows that differ, found more; nothing was changed. ` +
          `Look into why with "strangler verify ${sliceName}", then say how many you mean with --limit`,
        exitCodes.refused,
      );
    }
    left -= keys.length;
    if (keys.length > 0) chosen.push({ table, keys });
  }
  return chosen;
};

const tellPlan = async (pipe: OpenPipe, chosen: readonly Chosen[], view: ProgressView): Promise<void> => {
  const planned: { table: string; key: string; op: string; now: string }[] = [];
  for (const { table, keys } of chosen) {
    for (const { key, inSource, state } of await lookAtRows(pipe, table, keys)) {
      planned.push({
        table: table.mapping.target,
        key: formatKey(key),
        op: inSource ? 'upsert' : 'delete',
        now: state === 'same' ? 'equal' : state === 'different' ? 'different' : 'a change is under way',
      });
    }
  }
  const text =
    planned.length === 0
      ? 'nothing to mend: both sides are equal'
      : formatTable(
          ['TABLE', 'KEY', 'WOULD RECORD', 'NOW'],
          planned.map(({ table, key, op, now }) => [table, key, op, now]),
        );
  view.result({ kind: 'summary', slice: pipe.sliceName, outcome: 'planned', rows: planned }, text);
};

type Mending = {
  writer: { user: string; request: string };
  waitMs: number;
  view: ProgressView;
  signal: AbortSignal;
};

type TouchedTable = { table: MappedTable; rows: (Touched & { key: KeyPlace })[] };

const mend = async (pipe: OpenPipe, chosen: readonly Chosen[], how: Mending): Promise<void> => {
  const { view, signal } = how;
  const { sliceName: slice } = pipe;
  const touched: TouchedTable[] = [];
  for (const one of chosen) {
    touched.push(await touchAll(pipe, one, how));
    if (signal.aborted) break;
  }
  const count = touched.reduce((sum, { rows }) => sum + rows.length, 0);
  const wanted = chosen.reduce((sum, { keys }) => sum + keys.length, 0);
  const waited = how.waitMs > 0 && !signal.aborted;
  const left = waited && count > 0 ? await waitUntilMended(pipe, touched, how) : [];
  const outcome =
    count < wanted ? 'stopped' : left.length > 0 ? 'not mended' : waited || count === 0 ? 'mended' : 'recorded';
  const text =
    count === 0
      ? 'nothing to mend: both sides are equal'
      : outcome === 'mended'
        ? `${formatRows(count)} mended: both sides hold the same now`
        : `${formatRows(count)} recorded in the outbox`;
  view.close();
  view.result({ kind: 'summary', slice, outcome, recorded: count, left: left.map(leftOf) }, text);
  if (outcome === 'stopped') {
    throw new CliError(
      `stopped after ${count} of ${wanted} rows; type the same again for the rest`,
      exitCodes.interrupted,
    );
  }
  if (left.length === 0) return;
  throw new CliError(
    `${slice}: expected ${formatRows(count)} to be mended within ${how.waitMs} ms, found ${formatCount(left.length)} ` +
      `that are not, such as ${left.slice(0, 3).map(sayLeft).join(', ')}; what was recorded is not lost: ` +
      `see that relay and applier run, then type "strangler verify ${slice}"`,
  );
};

const touchAll = async (pipe: OpenPipe, { table, keys }: Chosen, how: Mending): Promise<TouchedTable> => {
  const { writer, view, signal } = how;
  const name = table.mapping.target;
  const rows: TouchedTable['rows'] = [];
  for (let from = 0; from < keys.length && !signal.aborted; from += touchedAtOnce) {
    const part = keys.slice(from, from + touchedAtOnce);
    const touched = await touchRows({ table, source: pipe.source.write, keys: part, writer });
    touched.forEach((one, index) => {
      const key = part[index] as KeyPlace;
      rows.push({ ...one, key });
      const text = `${name} ${formatKey(key)}: ${one.op} recorded as version ${formatVersion(one.version)}`;
      view.result({ kind: 'recorded', table: name, key: formatKey(key), ...one }, text);
    });
  }
  return { table, rows };
};

type Left = { table: string; key: string; state: RowLook['state'] };

/** Looks at the rows until both sides hold the same of each, or the time is over; gives those that are left. */
const waitUntilMended = async (
  pipe: OpenPipe,
  touched: readonly TouchedTable[],
  { waitMs, view, signal }: Mending,
): Promise<Left[]> => {
  const deadlineMs = performance.now() + waitMs;
  const all = touched.reduce((sum, { rows }) => sum + rows.length, 0);
  let pending = touched.map(({ table, rows }) => ({ table, keys: rows.map(({ key }) => key) }));
  for (;;) {
    const left: Left[] = [];
    const still: Chosen[] = [];
    for (const { table, keys } of pending) {
      const looks = (await lookAtRows(pipe, table, keys)).filter(({ state }) => state !== 'same');
      if (looks.length > 0) still.push({ table, keys: looks.map(({ key }) => key) });
      left.push(...looks.map(({ key, state }) => ({ table: table.mapping.target, key: formatKey(key), state })));
    }
    if (left.length === 0 || performance.now() > deadlineMs || signal.aborted) return left;
    pending = still;
    const at = { kind: 'waiting', left: left.length };
    view.progress(at, {
      table: pipe.sliceName,
      rows: all - left.length,
      rowsEstimate: all,
      rowsPerSecond: 0,
      etaMs: null,
      waiting: `${formatRows(left.length)} are on their way through the pipe`,
    });
    await pause(200, signal);
  }
};

const leftOf = ({ table, key, state }: Left) => ({ table, key, state });

const sayLeft = ({ table, key, state }: Left): string =>
  `${table} ${key} (${state === 'different' ? 'different' : 'on its way'})`;
