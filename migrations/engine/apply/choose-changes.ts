import { compareVersions, type RowVersion } from '@strangler/platform/contracts/row-message.ts';
import type { RowChange } from './row-shape.ts';

/** What the target knows of a key: the version it holds, or that it holds a tombstone of. */
export type StoredVersion = RowVersion & { deleted: boolean };

/** A change of one target table's row. */
export type TableChange = { table: string; change: RowChange };

/** Names a row among those of all tables. */
export const rowId = (table: string, keyText: string): string => `${table}\0${keyText}`;

/**
 * Of several changes of one row only the newest has to be written: that it is, and how many it stands for, is all that
 * a batch needs to know. Sorted by table and key, so that all who lock rows lock them in one order.
 */
export const newestOfEach = (changes: readonly TableChange[]): { newest: TableChange[]; superseded: number } => {
  const byRow = new Map<string, TableChange>();
  for (const entry of changes) {
    const id = rowId(entry.table, entry.change.keyText);
    const known = byRow.get(id);
    if (known === undefined || compareVersions(entry.change.version, known.change.version) > 0) byRow.set(id, entry);
  }
  const newest = [...byRow.entries()].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, entry]) => entry);
  return { newest, superseded: changes.length - newest.length };
};

/** Whether a change is to be written: `newer`, or the target is there already or further on. */
export const isNewer = (version: RowVersion, stored: RowVersion | undefined): boolean =>
  stored === undefined || compareVersions(version, stored) > 0;

/** Splits changes by whether the target has them already; `stored` gives what it has. */
export const splitByVersion = (
  newest: readonly TableChange[],
  stored: ReadonlyMap<string, StoredVersion>,
): { fresh: TableChange[]; duplicates: number } => {
  const fresh = newest.filter(({ table, change }) => isNewer(change.version, stored.get(rowId(table, change.keyText))));
  return { fresh, duplicates: newest.length - fresh.length };
};

/** Bounds of what one transaction takes. */
export type BatchLimits = { maxRows: number; maxBytes: number };

/** Splits a list, in its order, into runs within the limits; one that is larger by itself goes alone. */
export const splitIntoBatches = <T>(items: readonly T[], bytesOf: (item: T) => number, limits: BatchLimits): T[][] => {
  const batches: T[][] = [];
  let batch: T[] = [];
  let bytes = 0;
  for (const item of items) {
    const size = bytesOf(item);
    if (batch.length > 0 && (batch.length >= limits.maxRows || bytes + size > limits.maxBytes)) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(item);
    bytes += size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
};

/** About how much a change takes on its way to the target, in bytes. */
export const bytesOfChange = (change: Pick<RowChange, 'image' | 'keyText'>): number => {
  let bytes = 64 + change.keyText.length * 2;
  for (const text of Object.values(change.image ?? {})) bytes += 8 + (text?.length ?? 0);
  return bytes;
};
