import type { Pool } from 'mysql2/promise';
import type { MappedTable } from '../apply/row-shape.ts';
import type { KeyPlace } from '../backfill/key-range.ts';
import { judge } from './judge.ts';
import { createLooks } from './look.ts';

/** What one look at a row on both sides has shown. */
export type RowLook = {
  key: KeyPlace;
  inSource: boolean;
  /** `under way`: the target is at another version than the source. */
  state: 'same' | 'different' | 'under way';
};

const lookedAtOnce = 200;

/** Looks once at rows of both sides by their keys, without waiting for changes that are under way. */
export async function lookAtRows(
  { source, target }: { source: { read: Pool }; target: { read: Pool } },
  table: MappedTable,
  keys: readonly KeyPlace[],
): Promise<RowLook[]> {
  const looks = createLooks(table, source.read, target.read);
  const found: RowLook[] = [];
  for (let from = 0; from < keys.length; from += lookedAtOnce) {
    const part = keys.slice(from, from + lookedAtOnce);
    const rows = await looks.source(part);
    const there = await looks.target(rows);
    part.forEach((key, index) => {
      const row = rows[index] as (typeof rows)[number];
      const { kind } = judge(row, there[index] as (typeof there)[number], null, looks.same);
      const state = kind === 'same' || kind === 'different' ? kind : 'under way';
      found.push({ key, inSource: row.texts !== null, state });
    });
  }
  return found;
}
