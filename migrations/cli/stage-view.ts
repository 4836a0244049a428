import type { BackfillEvent } from '../engine/backfill/backfill.ts';
import type { Verdict } from '../engine/stages/gates.ts';
import type { StageEvent } from '../engine/stages/stage-work.ts';
import type { VerifyEvent } from '../engine/verify/verify.ts';
import { createProgressView, formatCount, formatTook } from './progress-view.ts';
import { formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';

/** Shows a stage change as it goes. */
export type StageView = {
  show(event: StageEvent): void;
  /** One line that stays. */
  note(event: object, text: string): void;
  gates(event: object, verdicts: readonly ShownVerdict[]): void;
  end(result: { from: string; to: string; text: string } & Record<string, unknown>): void;
  close(): void;
};

export const createStageView = (terminal: Terminal, json: boolean): StageView => {
  const view = createProgressView(terminal, { json });
  let tableBeganMs = performance.now();

  const showBackfill = (event: BackfillEvent): void => {
    const { table, rowsRead, rowsWritten, rowsEstimate, rowsPerSecond, etaMs } = event;
    const told = { kind: 'backfill', event };
    if (event.kind === 'begun' || event.kind === 'resumed') tableBeganMs = performance.now();
    if (event.kind === 'done') {
      const took = formatTook(performance.now() - tableBeganMs);
      const parked = event.rowsParked === 0 ? '' : `, ${formatCount(event.rowsParked)} wait for a unique value`;
      view.ended(
        told,
        `${table}: ${formatCount(rowsRead)} rows read, ${formatCount(rowsWritten)} copied${parked} in ${took}`,
      );
      return;
    }
    const waiting = event.kind === 'waiting' ? { waiting: event.reason } : {};
    view.progress(told, { table, rows: rowsRead, rowsEstimate, rowsPerSecond, etaMs, ...waiting });
  };

  const showVerify = (event: VerifyEvent): void => {
    const told = { kind: 'verify', event };
    if (event.kind === 'difference') {
      const { table, how, keyText, columns } = event.difference;
      view.note(told, `${table} ${keyText}: ${how}${columns.length === 0 ? '' : ` in ${columns.join(', ')}`}`);
    } else if (event.kind === 'unsettled') {
      view.note(told, `${event.table} ${event.keyText}: did not stand still long enough to be compared`);
    } else if (event.kind === 'done') {
      const { table, rowsCompared, differences, unsettled } = event;
      const took = formatTook(performance.now() - tableBeganMs);
      const open = unsettled === 0 ? '' : `, ${unsettled} unsettled`;
      view.ended(
        told,
        `${table}: ${formatCount(rowsCompared)} rows compared, ${differences} differences${open} in ${took}`,
      );
    } else {
      if (event.kind === 'begun') tableBeganMs = performance.now();
      const { table, rowsCompared, rowsEstimate, rowsPerSecond, etaMs } = event;
      const waiting = event.kind === 'waiting' ? { waiting: event.reason } : {};
      view.progress(told, { table, rows: rowsCompared, rowsEstimate, rowsPerSecond, etaMs, ...waiting });
    }
  };

  return {
    show(event) {
      if (event.kind === 'backfill') showBackfill(event.event);
      else if (event.kind === 'verify') showVerify(event.event);
      else if (event.kind === 'gates') view.note(event, describeGates(event.verdicts));
      else if (event.kind === 'step') view.note(event, `${event.where}: ${event.what}`);
      else view.note(event, `flags: the stage of ${event.document.slice} is ${event.document.stage}`);
    },
    note: (event, text) => view.note(event, text),
    gates: (event, verdicts) => view.note(event, describeGates(verdicts)),
    end: ({ text, ...result }) => view.result({ kind: 'end', ...result }, text),
    close: view.close,
  };
};

/** Of any kind of gate. */
export type ShownVerdict = Omit<Verdict, 'gate'> & { gate: string };

/** Gates as a table, one a line. */
export const describeGates = (verdicts: readonly ShownVerdict[]): string =>
  formatTable(
    ['GATE', 'STATE', 'FOUND', 'BOUND'],
    verdicts.map(({ gate, state, found, bound }) => [gate, state, found, bound]),
  );
