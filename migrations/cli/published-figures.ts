import type { Measured } from '@strangler/platform/contracts/slice-figures.ts';
import type { SliceReport } from './slice-status.ts';

/** A report as it is put up for those who have no credentials: figures, and nothing of any row. */
export const measuredOf = (
  { gates, direction, pipe, wayBack, fences }: SliceReport,
  writers: Measured['writers'],
): Measured => ({
  ...{ direction, wayBack, fences },
  gates:
    gates === null
      ? null
      : {
          into: gates.into,
          verdicts: gates.verdicts.map(({ gate, state, found, bound, todo }) => ({ gate, state, found, bound, todo })),
        },
  pipe:
    pipe === null
      ? null
      : {
          lagMs: pipe.lag.lagMs,
          unpublished: pipe.lag.unpublished,
          unapplied: pipe.lag.unapplied,
          queues: { consumed: pipe.consumed.queues, of: pipe.consumed.of },
          deadLetters: pipe.deadLetters,
          tables: pipe.tables.map(({ table, backfill, parked, lastVerified }) => ({
            ...{ table, backfill, parked },
            lastVerified:
              lastVerified === null
                ? null
                : {
                    rowsCompared: lastVerified.rowsCompared,
                    differences: lastVerified.differences,
                    unsettled: lastVerified.unsettled,
                    finishedAt: lastVerified.finishedAt,
                  },
          })),
        },
  writers:
    writers?.map(({ user, host, request, tables, changes, lastAt }) => ({
      ...{ user, host, request, tables, changes, lastAt },
    })) ?? null,
});
