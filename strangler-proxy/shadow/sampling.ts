import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Access } from '../decide/decision.ts';

/** What a slice file says of comparing on live traffic; every share is 0 to 1. */
export type ShadowShares = {
  /** Of the requests of routes that are not named below. */
  sample: number;
  /** By `METHOD /template`, as the slice file writes the route. */
  routes: Readonly<Record<string, number>>;
  /** Writes are asked of the service as dry runs, or not at all. */
  writes: 'dry-run' | 'off';
};

/**
 * The share, 0 to 1, of requests of this endpoint that are compared now. Nothing is compared but at the stages `shadow` and
 * `canary`: before them the service's data is not proven, after them the monolith's copy may be behind.
 */
export const sampledShare = (
  shadow: ShadowShares,
  flag: Pick<FlagDocument, 'stage' | 'shadow'>,
  request: { method: string; template: string; access: Access },
): number => {
  if (flag.stage !== 'shadow' && flag.stage !== 'canary') return 0;
  if (request.access === 'write' && shadow.writes === 'off') return 0;
  return shareOfRoute(shadow, request) * ((flag.shadow?.percent ?? 100) / 100);
};

const shareOfRoute = ({ routes, sample }: ShadowShares, { method, template }: { method: string; template: string }) =>
  // HEAD is served by GET's route unless it has its own.
  routes[`${method} ${template}`] ?? (method === 'HEAD' ? routes[`GET ${template}`] : undefined) ?? sample;
