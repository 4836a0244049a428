import type { KeyPlace, KeyRange } from '../backfill/key-range.ts';
import type { ChunkSum, ListedRow, Side } from './side.ts';

/** A row that was not the same on both sides when it was looked at: a change may be under way. */
export type Suspect = { key: KeyPlace };

export const sameSum = (one: ChunkSum, other: ChunkSum): boolean => one.rows === other.rows && one.sum === other.sum;

/** So many rows are listed and not halved any more. */
export const listedRows = 64;

/** What to do with a range whose checksums differ. */
export type Narrowing = { kind: 'list' } | { kind: 'halve'; by: 'source' | 'target'; position: number };

/** Halves by the side that has more rows, so that no list is ever longer than told. */
export const narrow = (source: ChunkSum, target: ChunkSum): Narrowing => {
  const rows = Math.max(source.rows, target.rows);
  if (rows <= listedRows) return { kind: 'list' };
  return { kind: 'halve', by: source.rows >= target.rows ? 'source' : 'target', position: Math.ceil(rows / 2) };
};

/** Rows that one side has and the other has not, or not the same. */
export const suspectsOf = (source: readonly ListedRow[], target: readonly ListedRow[]): Suspect[] => {
  const rest = new Map(target.map((row) => [row.keyText, row]));
  const suspects: Suspect[] = [];
  for (const row of source) {
    if (rest.get(row.keyText)?.digest !== row.digest) suspects.push({ key: row.key });
    rest.delete(row.keyText);
  }
  for (const { key } of rest.values()) suspects.push({ key });
  return suspects;
};

export type ChunkComparison = { rows: number; suspects: Suspect[] };

/** Compares a range of both tables by checksums; where they differ, by halves, down to rows. */
export async function compareRange(source: Side, target: Side, range: KeyRange): Promise<ChunkComparison> {
  const [one, other] = await Promise.all([source.sum(range), target.sum(range)]);
  if (sameSum(one, other)) return { rows: one.rows, suspects: [] };
  return { rows: one.rows, suspects: await suspectsWithin(source, target, range, one, other) };
}

async function suspectsWithin(
  source: Side,
  target: Side,
  range: KeyRange,
  one: ChunkSum,
  other: ChunkSum,
): Promise<Suspect[]> {
  const next = narrow(one, other);
  const middle =
    next.kind === 'list' ? null : await (next.by === 'source' ? source : target).keyAt(range, next.position);
  // Rows may have gone since they were counted: then there is no middle, and few rows to list.
  if (middle === null) {
    const limit = 16 * listedRows;
    const [here, there] = await Promise.all([source.list(range, limit), target.list(range, limit)]);
    if (here.length < limit && there.length < limit) return suspectsOf(here, there);
    return (await compareRange(source, target, range)).suspects;
  }
  const suspects: Suspect[] = [];
  for (const half of [
    { after: range.after, upTo: middle },
    { after: middle, upTo: range.upTo },
  ]) {
    suspects.push(...(await compareRange(source, target, half)).suspects);
  }
  return suspects;
}

/** A run of keys of one side, and where the next one begins; null after the last. */
export type KeyRun = ChunkComparison & { next: KeyPlace | null };

/**
 * Compares rows of `one` that come after a key with those of the same keys in `other`: for tables that do not keep their
 * keys in the same order, where a range of one is no range of the other.
 */
export async function compareKeys(
  one: Side,
  other: Side,
  after: KeyPlace | null,
  limit: number,
  want: 'all' | 'missing',
): Promise<KeyRun> {
  const rows = await one.list({ after, upTo: null }, limit);
  const there = await other.listKeys(rows.map(({ key }) => key));
  const suspects = rows
    .filter(({ digest }, index) => (want === 'all' ? there[index]?.digest !== digest : there[index] === null))
    .map(({ key }) => ({ key }));
  return { rows: rows.length, suspects, next: rows.length < limit ? null : (rows.at(-1)?.key ?? null) };
}
