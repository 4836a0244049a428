import { formatDurationMs } from '@strangler/platform/config.ts';
import { SingleBar } from 'cli-progress';
import type { Terminal } from './terminal.ts';

/** How far work on one table has come. */
export type TableProgress = {
  table: string;
  rows: number;
  /** The engine's guess of how many there are. */
  rowsEstimate: number;
  rowsPerSecond: number;
  /** Null while there is no telling. */
  etaMs: number | null;
  /** Why it stands still, where it does. */
  waiting?: string;
};

/** Tells how long work goes on: bars on a terminal, lines elsewhere, one JSON value a line with `json`. */
export type ProgressView = {
  /** Something happened: an event for programs, and for people how far the table has come. */
  progress(event: object, at: TableProgress): void;
  /** A table has come to its end: said in one line, which stays. */
  ended(event: object, text: string): void;
  /** Something to know of beside the progress: an event, and text that stays; null is for programs only. */
  note(event: object, text: string | null): void;
  /** What came of it all: for people and programs, on standard output. */
  result(value: object, text: string): void;
  /** Takes down the bar; to be called whatever comes. */
  close(): void;
};

export type ProgressViewOptions = {
  json: boolean;
  /** Between two lines about the same table where there is no terminal, 5 s unless told. */
  lineEveryMs?: number;
  /** Milliseconds of a clock that does not go back, `performance.now` unless told. */
  nowMs?: () => number;
};

/** Results go to standard output, progress for people to standard error, so that results can be piped. */
export const createProgressView = (terminal: Terminal, options: ProgressViewOptions): ProgressView => {
  const { json, lineEveryMs = 5000, nowMs = () => performance.now() } = options;
  if (json) return jsonView(terminal);
  const show = terminal.screen === undefined ? lines(terminal, lineEveryMs, nowMs) : bars(terminal.screen);
  const say = (text: string, to: (text: string) => void) => show.interrupted(() => to(text));
  return {
    progress: (_event, at) => show.progress(at),
    ended(_event, text) {
      show.end();
      terminal.err(text);
    },
    note(_event, text) {
      if (text !== null) say(text, terminal.err);
    },
    result: (_value, text) => say(text, terminal.out),
    close: () => show.end(),
  };
};

const jsonView = ({ out }: Terminal): ProgressView => {
  const tell = (event: object) => out(JSON.stringify(event));
  return { progress: tell, ended: tell, note: tell, result: tell, close() {} };
};

type Display = {
  progress(at: TableProgress): void;
  /** Writes something else in between. */
  interrupted(write: () => void): void;
  end(): void;
};

const lines = ({ err }: Terminal, everyMs: number, nowMs: () => number): Display => {
  let last = { table: '', atMs: 0 };
  return {
    progress(at) {
      const atMs = nowMs();
      if (last.table !== at.table) last = { table: at.table, atMs };
      if (atMs - last.atMs < everyMs) return;
      last.atMs = atMs;
      err(describeProgress(at));
    },
    interrupted: (write) => write(),
    end() {},
  };
};

const bars = (screen: NonNullable<Terminal['screen']>): Display => {
  let drawn: { bar: SingleBar; at: TableProgress } | null = null;

  const begin = (at: TableProgress): SingleBar => {
    const bar = new SingleBar({
      stream: screen,
      format: '{table} [{bar}] {told}',
      barsize: Math.max(10, Math.min(40, Math.floor(screen.columns / 4))),
      barCompleteChar: '=',
      barIncompleteChar: ' ',
      clearOnComplete: true,
      emptyOnZero: true,
      // Ctrl-C is the program's, which then ends by itself.
      gracefulExit: false,
    });
    bar.start(totalOf(at), at.rows, payloadOf(at));
    drawn = { bar, at };
    return bar;
  };
  const end = () => {
    drawn?.bar.stop();
    drawn = null;
  };

  return {
    progress(at) {
      if (drawn !== null && drawn.at.table !== at.table) end();
      const bar = drawn?.bar ?? begin(at);
      drawn = { bar, at };
      bar.setTotal(totalOf(at));
      bar.update(at.rows, payloadOf(at));
    },
    interrupted(write) {
      const at = drawn?.at;
      end();
      write();
      if (at !== undefined) begin(at);
    },
    end,
  };
};

/** The engine's guess may be too low. */
const totalOf = ({ rows, rowsEstimate }: TableProgress): number => Math.max(rows, rowsEstimate, 1);

const payloadOf = (at: TableProgress) => ({ table: at.table, told: describeRows(at) });

const describeProgress = (at: TableProgress): string => `${at.table}: ${describeRows(at)}`;

const describeRows = ({ rows, rowsEstimate, rowsPerSecond, etaMs, waiting }: TableProgress): string => {
  const of = rowsEstimate > rows ? ` of about ${formatCount(rowsEstimate)}` : '';
  const rate = rowsPerSecond > 0 ? `, ${formatCount(Math.round(rowsPerSecond))}/s` : '';
  const left = etaMs === null ? '' : `, ${formatTook(etaMs)} left`;
  return `${formatCount(rows)}${of} rows${waiting === undefined ? `${rate}${left}` : `; waiting: ${waiting}`}`;
};

/** `12,345`. */
export const formatCount = (count: number): string => count.toLocaleString('en-US');

/** `1 row`, `2,000 rows`. */
export const formatRows = (count: number): string => `${formatCount(count)} ${count === 1 ? 'row' : 'rows'}`;

/** A time span for people: `240ms`, `3.2s`, `2m 5s`, `1h 3m`. */
export const formatTook = (ms: number): string => {
  if (ms < 1000) return formatDurationMs(Math.round(ms));
  if (ms < 60_000) return `${(Math.round(ms / 100) / 10).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}h ${minutes % 60}m`;
};
