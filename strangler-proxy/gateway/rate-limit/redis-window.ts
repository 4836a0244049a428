import { createHash } from 'node:crypto';
import type { Redis } from '@strangler/platform/redis.ts';
import type { Count, Quota } from './sliding-window.ts';

/**
 * Counts one request where it may pass, in one step, by Redis's own clock, so that proxies need not agree on the time. Answers
 * whether it was counted and what stood before it. The rule is that of `standingOf`.
 */
const script = `
local limit, windowMs = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local nowMs = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local window = math.floor(nowMs / windowMs)
local elapsedMs = nowMs - window * windowMs
local stored = redis.call('HMGET', KEYS[1], 'window', 'previous', 'current')
local storedWindow = tonumber(stored[1])
local previous, current = 0, 0
if storedWindow == window then
  previous, current = tonumber(stored[2]), tonumber(stored[3])
elseif storedWindow == window - 1 then
  previous = tonumber(stored[3])
end
if current + previous * (windowMs - elapsedMs) / windowMs + 1 <= limit then
  redis.call('HSET', KEYS[1], 'window', string.format('%.0f', window), 'previous', previous, 'current', current + 1)
  redis.call('PEXPIRE', KEYS[1], 2 * windowMs)
end
return { previous, current, elapsedMs }
`;
const scriptHash = createHash('sha1').update(script).digest('hex');

/** The count before this request; undefined where Redis has no answer in time. Throws what Redis says of a fault. */
export type CountInRedis = (key: string, quota: Quota) => Promise<Count | undefined>;

export const createRedisWindow =
  (redis: Pick<Redis, 'run'>): CountInRedis =>
  async (key, { limit, windowMs }) => {
    const options = { keys: [key], arguments: [String(limit), String(windowMs)] };
    const answer = await redis.run(async (client) => {
      try {
        return await client.evalSha(scriptHash, options);
      } catch (error) {
        // Redis has been started anew, or its scripts were flushed.
        if ((error as Error).message.startsWith('NOSCRIPT')) return client.eval(script, options);
        throw error;
      }
    });
    if (answer === undefined) return undefined;
    const [previous = 0, current = 0, elapsedMs = 0] = (answer as unknown[]).map(Number);
    return { previous, current, elapsedMs };
  };
