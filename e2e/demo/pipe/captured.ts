import { readPosition } from '@strangler/migrations/engine/apply/positions.ts';
import { applyConsumerName } from '@strangler/migrations/engine/pipe/apply-consumer.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import type { Pool } from 'mysql2/promise';

/** Ids of all changes of a slice's rows that were captured so far, as the outbox has them, and are for its applier: above its floor. */
export const capturedIds = async (source: Pool, target: Pool, slice: string): Promise<string[]> => {
  const floor = await readPosition(target, applyConsumerName(slice), 'none');
  const [rows] = await source.query(
    "SELECT CAST(id AS CHAR) AS id FROM strangler_outbox WHERE kind = 'row' AND topic LIKE CONCAT(?, '.%') AND id > ?",
    [slice, floor?.id ?? '0'],
  );
  return (rows as { id: string }[]).map(({ id }) => id);
};

/** How many rows of the outbox, of whatever kind, no relay has published yet. */
export const unpublishedCount = async (source: Pool): Promise<number> => {
  const [rows] = await source.query('SELECT COUNT(*) AS n FROM strangler_outbox WHERE published = 0');
  return Number((rows as { n: number }[])[0]?.n);
};

/** How many rows there are in the tables of a slice. */
export const sourceRows = async (source: Pool, slicesFolder: string, slice: string): Promise<number> => {
  const tables = (await readSliceDirectory(slicesFolder)).find((one) => one.slice === slice)?.tables ?? [];
  let sum = 0;
  for (const table of tables) {
    const [rows] = await source.query('SELECT COUNT(*) AS n FROM ??', [table.source]);
    sum += Number((rows as { n: number }[])[0]?.n);
  }
  return sum;
};
