import type { CacheInvalidation } from '@strangler/platform/cache/invalidation.ts';
import type { DryRuns } from '@strangler/platform/dry-run/dry-runs.ts';
import type { ReadThrough } from '../cache/read-through.ts';
import type { Fenced } from '../fenced.ts';

/** What a request does beside its transaction. */
export type Traces = { cache: ReadThrough; invalidation: CacheInvalidation; fenced: Fenced };

/**
 * The same, leaving none in a dry run: it reads past the cache, for what it sees is in its own transaction; it makes
 * nothing untrue; and it does not wait for the fence, which lets it through.
 */
export function withoutTraces(dryRuns: Pick<DryRuns, 'inside'>, { cache, invalidation, fenced }: Traces): Traces {
  return {
    cache: { read: (read) => (dryRuns.inside() ? read.load() : cache.read(read)) },
    invalidation: {
      ...invalidation,
      around: (scopes, write, more) => (dryRuns.inside() ? write() : invalidation.around(scopes, write, more)),
    },
    fenced: (write) => (dryRuns.inside() ? write() : fenced(write)),
  };
}

/**
 * The API of the shop: its handlers touch the pool and the traces above, and ask the shop for an author's name, which changes
 * nothing there. What the shop's jobs ask for beside it locks most of a table for long, and is refused.
 */
export function canDryRun({ path }: { path: string }): boolean {
  return /^\/api\/(products|categories)(\/|$)/.test(path);
}
