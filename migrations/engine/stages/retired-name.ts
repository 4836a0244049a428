import { createHash } from 'node:crypto';
import { maxNameChars } from '../schema/identifiers.ts';

const prefix = 'strangler_old_';

/** Tables of completed slices: it stays known that they were put away when somebody has dropped what was kept of them. */
export const retiredTablesTable = 'strangler_retired_tables';

/** Whether a table of this name is one that is kept after its slice is complete. */
export const isRetired = (table: string): boolean => table.startsWith(prefix);

/** The name under which a table is kept after its slice is complete: at most 64 characters, one a table. */
export const retiredName = (table: string): string => {
  const name = `${prefix}${table}`;
  if (name.length <= maxNameChars) return name;
  const digest = createHash('sha256').update(table).digest('hex').slice(0, 8);
  return `${name.slice(0, maxNameChars - digest.length - 1)}_${digest}`;
};
