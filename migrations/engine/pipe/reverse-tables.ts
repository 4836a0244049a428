import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import type { Finding } from '../preflight/finding.ts';
import { reverseMapping } from '../row/reverse-mapping.ts';
import { canarySliceTable } from './canary.ts';
import { pipeNameOf } from './direction.ts';

export type ReversedTables = { tables: MappedTable[]; findings: Finding[] };

/** Turns tables that move round, for the pipe that flows back: from the service's database to the monolith's. */
export const reverseTables = (slice: string, tables: readonly MappedTable[]): ReversedTables => {
  const reversed: ReversedTables = { tables: [], findings: [] };
  for (const { mapping, source, sourceDialect, target, targetDialect } of tables) {
    const found = reverseMapping({ slice: pipeNameOf(slice, 'reverse'), mapping, source, target });
    reversed.findings.push(...found.findings);
    reversed.tables.push({
      mapping: found.mapping,
      source: target,
      sourceDialect: targetDialect,
      target: source,
      targetDialect: sourceDialect,
    });
  }
  return reversed;
};

/**
 * The slice as its pipe back has it: under that pipe's name, with the tables that move turned round and the canary's. How
 * columns go is not in it: that follows from the slice file and both live tables.
 */
export const reverseSlice = (slice: Slice): Slice => ({
  ...slice,
  slice: pipeNameOf(slice.slice, 'reverse'),
  tables: [
    ...slice.tables
      .filter(({ reference }) => !reference)
      .map(({ source, target }) => ({
        source: target,
        target: source,
        key: null,
        columns: null,
        transform: null,
        reference: false,
        until: null,
      })),
    canarySliceTable,
  ],
});
