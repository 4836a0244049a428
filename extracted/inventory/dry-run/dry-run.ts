import type { DryRuns } from '@strangler/platform/dry-run/dry-runs.ts';
import type { Fenced } from '../fenced.ts';

/** The same, but for a dry run, which does not wait for the fence: it is let through. */
export function notInDryRuns(dryRuns: Pick<DryRuns, 'inside'>, fenced: Fenced): Fenced {
  return (write) => (dryRuns.inside() ? write() : fenced(write));
}

/** The API of the shop: its handlers touch nothing but the pool. */
export function canDryRun({ path }: { path: string }): boolean {
  return /^\/api\/inventory(\/|$)/.test(path);
}
