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
  /**
   * Whether another write to the resource was under way beside this one, or had ended within `remembersMs` before it. Without
   * Redis' word only this worker's own writes count.
   */
  othersWrote(): Promise<boolean>;
};

/** A write that is over is remembered for so long: the pipe has brought it to the service by then. */
export const remembersMs = 5_000;

/** `endedMs`: infinite while it is under way. */
type Entry = { beganMs: number; endedMs: number };

export type WritesSeenOptions = {
  maxResources: number;
  nowMs: () => number;
  /** Null: this worker's own writes only. */
  redis: Pick<Redis, 'run'> | null;
  prefix?: string;
};

/** Of one resource, newest. */
const mostRemembered = 16;

export const createWritesSeen = (options: WritesSeenOptions): WritesSeen => {
  const { maxResources, nowMs, redis, prefix = defaultReportPrefix } = options;
  // A Map keeps its order: the first was touched longest ago.
  const seen = new Map<string, Entry[]>();

  const touch = (key: string): Entry[] => {
    const known = seen.get(key) ?? [];
    seen.delete(key);
    for (const [oldest, entries] of seen) {
      const isOld = entries.every(({ endedMs }) => nowMs() - endedMs > 2 * remembersMs);
      if (seen.size < maxResources && !isOld) break;
      seen.delete(oldest);
    }
    return known;
  };

  return {
    begin(slice, resource) {
      const key = `${slice} ${resource}`;
      const mine: Entry = { beganMs: nowMs(), endedMs: Number.POSITIVE_INFINITY };
      const isRecent = ({ endedMs }: Entry) => endedMs >= mine.beganMs - remembersMs;
      seen.set(key, [...touch(key).filter(isRecent), mine].slice(-mostRemembered));
      const shared = redis === null ? null : tellOthers(redis, prefix, slice, resource);
      return {
        end() {
          mine.endedMs = nowMs();
          shared?.end();
        },
        async othersWrote() {
          if (seen.get(key)?.some((one) => one !== mine && isRecent(one)) === true) return true;
          return (await shared?.othersWrote()) ?? false;
        },
      };
    },
    size: () => seen.size,
  };
};

/** A write that has begun and is not known to be over stands in Redis as if it ended so much later. */
const longestWriteMs = 60_000;

/** Puts the write where other workers and proxies find it: in a sorted set a resource, by when it is over. */
const tellOthers = (redis: Pick<Redis, 'run'>, prefix: string, slice: string, resource: string) => {
  const digest = createHash('sha256').update(resource).digest('base64url').slice(0, 22);
  const key = `${sliceKeys(prefix, slice).base}:wrote:${digest}`;
  const id = crypto.randomUUID();
  const beganMs = Date.now();
  // One after the other, none in the way of the request; what Redis says to them concerns nobody.
  let told: Promise<unknown> = new Promise((resolve) => setImmediate(resolve));
  const put = (overMs: number): void => {
    told = told
      .then(() =>
        redis.run((client) =>
          client
            .multi()
            .zAdd(key, { score: overMs, value: id })
            .zRemRangeByRank(key, 0, -mostRemembered - 1)
            .pExpire(key, longestWriteMs + 2 * remembersMs)
            .exec(),
        ),
      )
      .catch(() => undefined);
  };
  put(beganMs + longestWriteMs);
  return {
    end: () => put(Date.now()),
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
