import { Problem } from '../http/problem.ts';

/** What a service says where it cannot promise that nothing stays: 501, and nothing was done. */
export const cannotDryRun = (detail: string, cause?: unknown): Problem =>
  new Problem({
    status: 501,
    type: 'urn:strangler:problem:no-dry-run',
    title: 'No dry run',
    detail: `${detail} Nothing was done.`,
    ...(cause === undefined ? {} : { cause }),
  });

/** A dry run that something stood in the way of: 503, and nothing was done; it says nothing about the request itself. */
export const dryRunFailed = (detail: string, cause?: unknown): Problem =>
  new Problem({
    status: 503,
    type: 'urn:strangler:problem:dry-run-failed',
    title: 'Dry run not finished',
    detail: `${detail} Nothing was done.`,
    headers: { 'retry-after': '1' },
    ...(cause === undefined ? {} : { cause }),
  });
