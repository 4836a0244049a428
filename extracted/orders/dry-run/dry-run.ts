import type { DryRuns } from '@strangler/platform/dry-run/dry-runs.ts';
import type { Fenced } from '../fenced.ts';

/** The same, but for a dry run, which does not wait for the fence: it is let through. */
export function notInDryRuns(dryRuns: Pick<DryRuns, 'inside'>, fenced: Fenced): Fenced {
  return (write) => (dryRuns.inside() ? write() : fenced(write));
}

/**
 * Reading stays within this database. Checking out, cancelling and shipping are refused: a saga is others' work, and what the
 * inventory and the payments do is not undone.
 */
export function canDryRun({ method, path }: { method: string; path: string }): boolean {
  return (method === 'GET' || method === 'HEAD') && /^\/api\/(orders|checkouts)(\/|$)/.test(path);
}
