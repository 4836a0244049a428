import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { positionsTable } from '../apply/own-tables.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { applyConsumerName, applyQueues } from './apply-consumer.ts';

/**
 * A slice's floor is the highest outbox id from before its capture was installed. Changes at or below it are of an
 * earlier life of the slice, were not captured without a gap, and are not to be applied; every change of this life has
 * a higher id, because ids are given out by one counter. It stands among the target's positions, under the name of the
 * slice's applier, and is where each part's position begins.
 */
export async function markFloor(source: Queryable, target: Queryable, slice: string, epoch: number): Promise<void> {
  const [highest] = await rowsOf<{ id: string }>(
    source,
    `SELECT CAST(COALESCE(MAX(id), 0) AS CHAR) AS id FROM ${outboxTable}`,
  );
  const names = [applyConsumerName(slice), ...applyQueues(slice)];
  const row = '(?, ?, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))';
  // One that stands already is that of a capture which may have captured since.
  await target.query(
    `INSERT IGNORE INTO ${positionsTable} (name, epoch, id, changed_at, applied_at) VALUES ${names.map(() => row).join(', ')}`,
    names.flatMap((name) => [name, epoch, highest?.id ?? '0']),
  );
}
