/** How one request met the cache: a closed set, used in `Cache-Status` (RFC 9211), metrics and tests. */
export type CacheOutcome =
  /** Answered with what is kept and fresh. */
  | 'hit'
  /** Answered with what is kept, though stale: the client allowed it, or it is asked about beside. */
  | 'stale'
  /** Answered with what is kept, though stale, because the origin failed. */
  | 'stale-on-error'
  /** The origin said that what is kept is still good. */
  | 'revalidated'
  /** Answered with what the origin told another request that was under way. */
  | 'collapsed'
  /** The origin was asked, because nothing was kept, nothing of this variant, or what is kept may not be given. */
  | 'uri-miss'
  | 'vary-miss'
  | 'stale-miss'
  | 'request-miss'
  /** Its user has written, and what is kept may be older than that. */
  | 'own-write'
  /** Redis did not answer, or has not yet been told of a change. */
  | 'away'
  /** Nothing but what is kept was wanted, and there is none. */
  | 'unsatisfiable';

export const cacheName = 'strangler';

export type CacheStatus = {
  outcome: CacheOutcome;
  /** Seconds for which what was given is fresh still; below 0 where it is stale. */
  ttlS?: number;
  /** What the origin answered, where it was asked. */
  forwardedStatus?: number;
  /** Whether its answer was kept. */
  stored?: boolean;
  /** Why not. */
  detail?: string;
};

type Forwarded = 'bypass' | 'uri-miss' | 'vary-miss' | 'stale' | 'request' | 'miss';

const forwardedBecause: Partial<Record<CacheOutcome, Forwarded>> = {
  revalidated: 'stale',
  collapsed: 'miss',
  'uri-miss': 'uri-miss',
  'vary-miss': 'vary-miss',
  'stale-miss': 'stale',
  'request-miss': 'request',
  'own-write': 'request',
  away: 'bypass',
};

/** The member of `Cache-Status` that this cache adds. */
export function formatCacheStatus({ outcome, ttlS, forwardedStatus, stored, detail }: CacheStatus): string {
  const parts = [cacheName];
  const because = forwardedBecause[outcome];
  if (because !== undefined) parts.push(`fwd=${because}`);
  else if (outcome !== 'unsatisfiable') parts.push('hit');
  if (forwardedStatus !== undefined) parts.push(`fwd-status=${forwardedStatus}`);
  if (ttlS !== undefined) parts.push(`ttl=${Math.floor(ttlS)}`);
  if (stored === true) parts.push('stored');
  if (outcome === 'collapsed') parts.push('collapsed');
  const said = detail ?? (outcome === 'hit' || outcome === 'collapsed' || outcome === because ? undefined : outcome);
  if (said !== undefined) parts.push(`detail=${said}`);
  return parts.join('; ');
}
