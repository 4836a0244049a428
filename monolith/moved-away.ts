import { Problem } from '@strangler/platform/http/problem.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';

/**
 * Refuses a read of what the shop has no tables of any more: whoever asks has come past the proxy, and is sent back to it.
 * `what`: begins the sentence, such as "The stock is". @throws Problem, 503
 */
export function refuseOnceComplete(
  owner: Pick<OwnerFollower, 'now'> | undefined,
  { what, service }: { what: string; service: string },
): void {
  if (owner?.now()?.stage !== 'complete') return;
  const detail = `${what} kept by the ${service} service; ask through the proxy.`;
  throw new Problem({ status: 503, detail, headers: { 'retry-after': '1' } });
}
