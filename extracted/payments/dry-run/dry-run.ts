import type { DryRuns } from '@strangler/platform/dry-run/dry-runs.ts';
import { cannotDryRun } from '@strangler/platform/dry-run/errors.ts';
import type { Fenced } from '../fenced.ts';
import type { ProviderClient } from '../provider/provider-client.ts';

/** What a request does beside its transaction. */
export type Traces = { fenced: Fenced; provider: ProviderClient; onRefundOwed(paymentId: number): void };

/**
 * The same, leaving none in a dry run: it does not wait for the fence, which lets it through; nobody is told of a refund that is
 * undone; and the provider is not called, by whatever way a route came to it.
 */
export function withoutTraces(dryRuns: Pick<DryRuns, 'inside'>, traces: Traces): Traces {
  const live = <Arguments extends unknown[], T>(call: (...args: Arguments) => Promise<T>) => {
    return async (...args: Arguments): Promise<T> => {
      if (dryRuns.inside()) throw cannotDryRun('The payment provider would be called, and what it does is not undone.');
      return call(...args);
    };
  };
  return {
    fenced: (write) => (dryRuns.inside() ? write() : traces.fenced(write)),
    provider: {
      charge: live(traces.provider.charge),
      lookup: live(traces.provider.lookup),
      refund: live(traces.provider.refund),
    },
    onRefundOwed: (paymentId) => {
      if (!dryRuns.inside()) traces.onRefundOwed(paymentId);
    },
  };
}

const promised: Record<string, RegExp> = {
  GET: /^\/api\/(v2\/)?payments\/[^/]+$/,
  HEAD: /^\/api\/(v2\/)?payments\/[^/]+$/,
  POST: /^\/api\/payments\/webhooks$/,
};

/** What stays within this database: reading, and taking webhooks. Charges and refunds are another's to do, and are refused. */
export function canDryRun({ method, path }: { method: string; path: string }): boolean {
  return promised[method]?.test(path) ?? false;
}
