import { createHash } from 'node:crypto';
import type { Redis } from '@strangler/platform/redis.ts';
import { sliceKeys } from '@strangler/platform/shadow-report/keep.ts';
import { defaultReportPrefix } from '@strangler/platform/shadow-report/report.ts';

/**
 * Which resources were written lately: a dry run beside another write to the same resource may rightly answer otherwise than
 * the monolith did. This worker knows its own; those of other workers and proxies it asks of Redis.
 */
export type WritesSeen = {
  /** A write begins. */
  begin(slice: string, resource: string): SeenWrite;
  size(): number;
};

export type SeenWrite = {
  /** It is over. */
  end(): void;
  /** Whether another write touched the resource, from `remembersMs` before this one on. False too where Redis does not say. */
  othersWrote(): Promise<boolean>;
};

/** A write is remembered for so long. */
export const remembersMs = 5_000;

type Seen = { underWay: number; beganMs: number[]; endedMs: number };

export type WritesSeenOptions = {
  maxResources: number;
  nowMs: () => number;
  /** Null: this worker's own writes only. */
  redis: Pick<Redis, 'run'> | null;
  prefix?: string;
};

/** Of one resource, newest. */
const mostBegins = 16;

export const createWritesSeen = (options: WritesSeenOptions): WritesSeen => {
  const { maxResources, nowMs, redis, prefix = defaultReportPrefix } = options;
  // A Map keeps its order: the first was touched longest ago.
  const seen = new Map<string, Seen>();

  const touch = (key: string): Seen => {
    const known = seen.get(key) ?? { underWay: 0, beganMs: [], endedMs: 0 };
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
      one.beganMs = [...one.beganMs.filter((atMs) => now - atMs <= 2 * remembersMs), now].slice(-mostBegins);
      const shared = redis === null ? null : tellOthers(redis, prefix, slice, resource);
      return {
        end() {
          one.underWay -= 1;
          one.endedMs = nowMs();
        },
        async othersWrote() {
          if (one.underWay > 1 || one.beganMs.filter((atMs) => atMs >= now - remembersMs).length > 1) return true;
          return (await shared?.othersWrote()) ?? false;
        },
      };
    },
    size: () => seen.size,
  };
};

/** Puts the write where other workers and proxies find it: in a sorted set a resource, by when it began. */
const tellOthers = (redis: Pick<Redis, 'run'>, prefix: string, slice: string, resource: string) => {
  const digest = createHash('sha256').update(resource).digest('base64url').slice(0, 22);
  const key = `${sliceKeys(prefix, slice).base}:wrote:${digest}`;
  const id = crypto.randomUUID();
  const beganMs = Date.now();
  const told = new Promise((resolve) => setImmediate(resolve))
    .then(() =>
      redis.run((client) =>
        client
          .multi()
          .zAdd(key, { score: beganMs, value: id })
          .zRemRangeByRank(key, 0, -mostBegins - 1)
          .pExpire(key, 2 * remembersMs)
          .exec(),
      ),
    )
    .catch(() => undefined);
  return {
    async othersWrote(): Promise<boolean> {
      await told;
      const ids = await redis
        .run((client) => client.zRangeByScore(key, beganMs - remembersMs, '+inf'))
        .catch(() => undefined);
      return ids?.some((other) => other !== id) === true;
    },
  };
};

/**
 * What a write of this route changes: the path up to the first segment that names one thing, `/api/products/7` for
 * `DELETE /api/products/:id/reviews/:reviewId`, since what is in a thing may show wherever the thing does. Null for a POST
 * to a collection, which makes something that nobody else can have written.
 */
export const resourceOf = (method: string, template: string, path: string): string | null => {
  const named = template.split('/').findIndex((segment) => segment.startsWith(':') || segment === '*');
  if (named === -1) return method === 'POST' ? null : path;
  return path
    .split('/')
    .slice(0, named + 1)
    .join('/');
};
