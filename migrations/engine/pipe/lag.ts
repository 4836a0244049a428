import { partCount } from '@strangler/platform/contracts/row-message.ts';
import { outboxTable, pendingIndex } from '@strangler/platform/outbox/schema.ts';
import { readPositions } from '../apply/positions.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import { applyQueues } from './apply-consumer.ts';

/** How far a slice's target is behind its source. */
export type PipeLag = {
  /** Age of the oldest captured change that is not applied, in milliseconds; 0 when there is none. */
  lagMs: number;
  /** Captured changes that are not published, and those published and not applied; each counted up to `countedAtMost`. */
  unpublished: number;
  unapplied: number;
};

/** Changes of one part are counted up to this number. */
export const countedAtMost = 10_000;

type Waiting = { published: number; n: number; age: number | null };

/**
 * Reads a slice's lag: of each part, the changes that are not published, and the published ones above the part's
 * position. Ids are not in commit order across rows, so a change that was committed late may be missed once it is
 * published: this is for lag, not for proof.
 */
export async function readLag(source: Queryable, target: Queryable, slice: string): Promise<PipeLag> {
  const positions = new Map((await readPositions(target)).map(({ name, version }) => [name, version.id]));
  const queues = applyQueues(slice);
  const topics = `${slice.replace(/[\\_%]/g, '\\$&')}.%`;
  const branches: string[] = [];
  const values: unknown[] = [];
  for (let part = 0; part < partCount; part += 1) {
    for (const published of [0, 1]) {
      const after = published === 0 ? '0' : (positions.get(queues[part] as string) ?? '0');
      // The first of them by id is as good as the oldest.
      branches.push(
        `(SELECT ${published} AS published, COUNT(*) AS n,
                 TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6)) / 1000 AS age
          FROM (SELECT created_at FROM ${outboxTable} FORCE INDEX (${pendingIndex})
                WHERE published = ${published} AND part = ${part} AND id > ? AND kind = 'row' AND topic LIKE ?
                ORDER BY id LIMIT ${countedAtMost}) AS waiting)`,
      );
      values.push(after, topics);
    }
  }
  const found = await rowsOf<Waiting>(source, branches.join(' UNION ALL '), values);
  const lag: PipeLag = { lagMs: 0, unpublished: 0, unapplied: 0 };
  for (const { published, n, age } of found) {
    lag[Number(published) === 0 ? 'unpublished' : 'unapplied'] += Number(n);
    lag.lagMs = Math.max(lag.lagMs, Number(age ?? 0));
  }
  return lag;
}
