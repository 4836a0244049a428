import type { SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import type { TableSchema } from '../schema/table-schema.ts';
import { type Finding, refuse } from './finding.ts';

/**
 * Whether the slice file names its tables to the letter. A server with lower_case_table_names finds a table by other
 * spellings, but its changes travel under the name that the server has for it, and would reach nobody.
 */
export const checkSpelling = (
  table: Pick<SliceTable, 'source' | 'target'>,
  source: Pick<TableSchema, 'database' | 'name'>,
  target: Pick<TableSchema, 'database' | 'name'>,
): Finding[] =>
  (
    [
      ['source', table.source, source],
      ['target', table.target, target],
    ] as const
  )
    .filter(([, said, { name }]) => said !== name)
    .map(([end, said, { database, name }]) => {
      const reason = `expected the name as the server has it, ${name}, found ${said}`;
      return refuse('name-spelling', `${end} ${database}.${name}`, reason, `write ${end}: ${name} in the slice file`);
    });
