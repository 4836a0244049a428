import { kindOf } from '../row/column-codec.ts';
import type { TableMapping } from '../row/table-mapping.ts';
import { columnOf, type TableSchema } from '../schema/table-schema.ts';
import { incompatibility } from './compatible-columns.ts';
import { type Finding, refuse, warn } from './finding.ts';

/** Whether a target table takes every row that a mapping can make. */
export const checkTargetTable = (mapping: TableMapping, source: TableSchema, target: TableSchema): Finding[] => {
  const where = `target ${target.database}.${target.name}`;
  const findings: Finding[] = [];
  if (target.tableType !== 'BASE TABLE') {
    findings.push(
      refuse('not-a-base-table', where, `expected a table, found a ${target.tableType}`, 'name the table under it'),
    );
  } else if (target.storageEngine.toLowerCase() !== 'innodb') {
    const reason = `expected InnoDB, found ${target.storageEngine}: a row and its version could not be one transaction`;
    findings.push(refuse('not-innodb', where, reason, 'ALTER TABLE … ENGINE=InnoDB'));
  }
  for (const column of mapping.columns) {
    if (column.from !== 'column') continue;
    const problem = incompatibility(columnOf(source, column.column), columnOf(target, column.target));
    // A type that does not survive at all is the source's fault, and told there.
    if (problem !== null && kindOf(columnOf(source, column.column)) !== undefined)
      findings.push(refuse('column-incompatible', where, problem.reason, problem.remedy));
  }
  const triggers = target.triggers.filter(({ name }) => !name.startsWith('strangler_'));
  if (triggers.length > 0) {
    const reason = `it has triggers of its own, which fire on every row that is applied: ${triggers.map(({ name }) => name).join(', ')}`;
    findings.push(
      warn('trigger-present', where, reason, 'let them do nothing where @strangler_apply is set, if they write'),
    );
  }
  return findings;
};
