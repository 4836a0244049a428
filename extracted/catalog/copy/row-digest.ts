import { createHash } from 'node:crypto';

export type Row = Record<string, unknown>;

/** A checksum over rows in the order in which they are added. */
export type RowDigest = { add(row: Row): void; rows(): number; hex(): string };

/**
 * SHA-256 over the columns' values in a form that is the same whatever engine they come from: JSON with its names in order,
 * times and decimals as text.
 */
export function createRowDigest(columns: readonly string[]): RowDigest {
  const hash = createHash('sha256');
  let rows = 0;
  return {
    add(row) {
      rows += 1;
      hash.update(`${JSON.stringify(columns.map((column) => canonical(column, row[column])))}\n`);
    },
    rows: () => rows,
    hex: () => hash.copy().digest('hex'),
  };
}

function canonical(column: string, value: unknown): unknown {
  if (column !== 'attributes') return typeof value === 'number' ? String(value) : value;
  const entries = Object.entries(JSON.parse(value as string) as Record<string, unknown>);
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}
