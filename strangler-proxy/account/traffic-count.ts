import type { SliceTraffic } from '@strangler/platform/contracts/proxy-status.ts';
import type { Account } from './account.ts';
import { sideOf } from './labels.ts';

const nothing = () => ({ monolith: 0, service: 0, failed: 0 });

/** Counts what each slice's requests were asked of, for those who look at the proxy's status. */
export const createTrafficCount = (slices: readonly string[]): Account & { counts(): SliceTraffic[] } => {
  const counted = new Map(slices.map((slice) => [slice, { slice, reads: nothing(), writes: nothing() }]));
  return {
    finished(request) {
      const { decision, outcome } = request;
      const slice = decision?.slice;
      const count = slice == null ? undefined : counted.get(slice);
      const side = sideOf(request);
      if (count === undefined) return;
      const of = decision?.access === 'write' ? count.writes : count.reads;
      if (side !== 'none') of[side] += 1;
      const isFailed =
        outcome.kind === 'answered' || outcome.kind === 'gateway'
          ? outcome.status >= 500
          : outcome.kind !== 'client-aborted';
      if (isFailed) of.failed += 1;
    },
    counts: () =>
      [...counted.values()].map(({ slice, reads, writes }) => ({ slice, reads: { ...reads }, writes: { ...writes } })),
  };
};
