import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { Verdict } from '../engine/stages/gates.ts';
import { type ComparisonFigures, judgeComparison, judgeForgotten } from '../engine/stages/shadow-gate.ts';
import { coverageOf, nameCell, wantedCells } from '../shadow/wanted-cells.ts';
import { type RedisOptions, readOperations, withReportOrNone } from './shadow-options.ts';
import type { Terminal } from './terminal.ts';

/** Asks the report of compared answers and judges it; where the slice asks for no comparison, nobody is asked. */
export const judgeSliceComparison = async (
  slice: Slice,
  folder: string,
  options: RedisOptions,
  terminal: Terminal,
): Promise<Verdict[]> => {
  const bounds = slice.gates.shadow;
  if (bounds === null) return [];
  const wanted = wantedCells(slice, await readOperations(slice, folder));
  const report = await withReportOrNone(options, terminal, async (reader): Promise<ComparisonFigures['report']> => {
    const summary = await reader?.summary(slice.slice);
    const cells = await reader?.coverage(slice.slice);
    if (summary === undefined || cells === undefined) return null;
    const covered = coverageOf(wanted, cells).map((cell) => ({ ...cell, name: nameCell(cell) }));
    return { summary, cells: covered };
  });
  return judgeComparison({ slice: slice.slice, bounds, report });
};

/** Forgets what was compared of a slice, so that a gate counts what is compared from now on. */
export const forgetSliceComparison = async (
  slice: Slice,
  options: RedisOptions,
  terminal: Terminal,
): Promise<Verdict[]> => {
  if (slice.gates.shadow === null) return [];
  const forgotten = await withReportOrNone(options, terminal, async (reader) => await reader?.reset(slice.slice));
  return [judgeForgotten(forgotten)];
};
