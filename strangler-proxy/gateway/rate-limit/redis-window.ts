import { createHash } from 'node:crypto';
import type { Redis } from '@strangler/platform/redis.ts';
import type { Count, Quota } from './sliding-window.ts';

/**
 * Counts requests one after the other, each where it may pass, in one step, by Redis's own clock, so that proxies need not agree on
 * the time. Answers what stood before each of them, three numbers a request. The rule is that of `standingOf`.
 */
const script = `
local time = redis.call('TIME')
local nowMs = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local before = {}
for at, key in ipairs(KEYS) do
  local limit, windowMs = tonumber(ARGV[2 * at - 1]), tonumber(ARGV[2 * at])
  local window = math.floor(nowMs / windowMs)
  local elapsedMs = nowMs - window * windowMs
  local stored = redis.call('HMGET', key, 'window', 'previous', 'current')
  local storedWindow = tonumber(stored[1])
  local previous, current = 0, 0
  if storedWindow == window then
    previous, current = tonumber(stored[2]), tonumber(stored[3])
  elseif storedWindow == window - 1 then
    previous = tonumber(stored[3])
  end
  if current + previous * (windowMs - elapsedMs) / windowMs + 1 <= limit then
    redis.call('HSET', key, 'window', string.format('%.0f', window), 'previous', previous, 'current', current + 1)
    redis.call('PEXPIRE', key, 2 * windowMs)
  end
  before[#before + 1] = previous
  before[#before + 1] = current
  before[#before + 1] = elapsedMs
end
return before
`;
const scriptHash = createHash('sha1').update(script).digest('hex');

/** The count before this request; undefined where Redis has no answer in time. Throws what Redis says of a fault. */
export type CountInRedis = (key: string, quota: Quota) => Promise<Count | undefined>;

/** Redis does nothing else while a script runs: this many requests take it about a millisecond. */
const mostAtOnce = 128;

type Asked = {
  key: string;
  quota: Quota;
  resolve(count: Count | undefined): void;
  reject(error: unknown): void;
};

/**
 * Requests that are read in the same turn of the event loop are counted by one command: what a command costs this process is several
 * times what a request costs Redis.
 */
export const createRedisWindow = (redis: Pick<Redis, 'run'>): CountInRedis => {
  let asked: Asked[] = [];

  const countAll = async (all: readonly Asked[]): Promise<void> => {
    const options = {
      keys: all.map(({ key }) => key),
      arguments: all.flatMap(({ quota: { limit, windowMs } }) => [String(limit), String(windowMs)]),
    };
    try {
      const answer = await redis.run(async (client) => {
        try {
          return await client.evalSha(scriptHash, options);
        } catch (error) {
          // Redis has been started anew, or its scripts were flushed.
          if ((error as Error).message.startsWith('NOSCRIPT')) return client.eval(script, options);
          throw error;
        }
      });
      const numbers = answer === undefined ? undefined : (answer as unknown[]).map(Number);
      for (const [at, { resolve }] of all.entries()) {
        const [previous = 0, current = 0, elapsedMs = 0] = numbers?.slice(3 * at, 3 * at + 3) ?? [];
        resolve(numbers === undefined ? undefined : { previous, current, elapsedMs });
      }
    } catch (error) {
      for (const { reject } of all) reject(error);
    }
  };

  const send = (): void => {
    const all = asked;
    asked = [];
    if (all.length > 0) void countAll(all);
  };

  return (key, quota) =>
    new Promise((resolve, reject) => {
      asked.push({ key, quota, resolve, reject });
      if (asked.length === 1) setImmediate(send);
      else if (asked.length === mostAtOnce) send();
    });
};
