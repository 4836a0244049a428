/**
 * Which resources were written lately, as far as this worker has seen: a dry run beside another write to the same
 * resource may rightly answer otherwise than the monolith did.
 */
export type WritesSeen = {
  /** A write begins; call the result when it is over. */
  begin(slice: string, resource: string): () => void;
  /** Whether another write than the caller's own touched the resource between then and now. */
  othersSince(slice: string, resource: string, sinceMs: number): boolean;
  size(): number;
};

/** A write is remembered for so long. */
export const remembersMs = 5_000;

type Seen = { underWay: number; began: { atMs: number; count: number }[]; endedMs: number };

export type WritesSeenOptions = { maxResources: number; nowMs: () => number };

export const createWritesSeen = ({ maxResources, nowMs }: WritesSeenOptions): WritesSeen => {
  // A Map keeps its order: the first was touched longest ago.
  const seen = new Map<string, Seen>();

  const touch = (key: string): Seen => {
    const known = seen.get(key) ?? { underWay: 0, began: [], endedMs: 0 };
    seen.delete(key);
    for (const [oldest, { underWay, endedMs }] of seen) {
      if (seen.size < maxResources && (underWay > 0 || nowMs() - endedMs <= 2 * remembersMs)) break;
      seen.delete(oldest);
    }
    seen.set(key, known);
    return known;
  };

  return {
    begin(slice, resource) {
      const one = touch(`${slice} ${resource}`);
      const now = nowMs();
      one.underWay += 1;
      one.began = [...one.began.filter(({ atMs }) => now - atMs <= 2 * remembersMs), { atMs: now, count: 1 }].slice(
        -16,
      );
      return () => {
        one.underWay -= 1;
        one.endedMs = nowMs();
      };
    },
    othersSince(slice, resource, sinceMs) {
      const one = seen.get(`${slice} ${resource}`);
      if (one === undefined) return false;
      return one.began.filter(({ atMs }) => atMs >= sinceMs).length > 1 || one.underWay > 1;
    },
    size: () => seen.size,
  };
};

/**
 * What a write of this route changes: the path up to the last segment that names one thing, `/api/products/7` for
 * `POST /api/products/:id/reviews`. Null for a POST to a collection, which makes something that nobody else can have written.
 */
export const resourceOf = (method: string, template: string, path: string): string | null => {
  const named = template.split('/').findLastIndex((segment) => segment.startsWith(':') || segment === '*');
  if (named === -1) return method === 'POST' ? null : path;
  return path
    .split('/')
    .slice(0, named + 1)
    .join('/');
};
