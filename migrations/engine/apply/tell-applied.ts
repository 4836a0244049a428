import { tellApplied } from '@strangler/platform/outbox/applied.ts';
import { applyQueues } from '../pipe/apply-consumer.ts';
import type { Queryable } from '../schema/queryable.ts';
import { readPositions } from './positions.ts';

/**
 * Tells the source how far the target is, so that its outbox may let go of what is old: until then it keeps every
 * change of the slice. A position is that of the newest change of its part; one that was committed late, with a lower
 * id, passes for applied a moment too early, which matters only for a transaction that was open longer than published
 * rows are kept.
 */
export async function tellSourceApplied(source: Queryable, target: Queryable, slice: string): Promise<void> {
  const positions = new Map((await readPositions(target)).map(({ name, version }) => [name, version.id]));
  const marks = applyQueues(slice).flatMap((queue, part) => {
    const id = positions.get(queue);
    return id === undefined ? [] : [{ part, id }];
  });
  await tellApplied(source, slice, marks);
}
