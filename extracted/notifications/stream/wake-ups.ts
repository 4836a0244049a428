import { randomUUID } from 'node:crypto';
import { pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Redis } from '@strangler/platform/redis.ts';
import { createRedisSubscriber, type RedisSubscriber } from '@strangler/platform/redis-subscriber.ts';
import { z } from 'zod';

/**
 * Tells every instance that an account has something new. Only a hint: what is new stands in the database, so a hint that is
 * lost, doubled or early does no harm beyond a delay or a read.
 */
export type WakeUps = {
  /** Wakes the account's streams here at once, and those of other instances through Redis, if it is there. */
  wake(accountId: number): void;
  /** Names who is woken: one account, or `all` after a time without Redis, in which hints may have been missed. */
  listen(listener: (who: number | 'all') => void): void;
  ready(): boolean;
  stop(): Promise<void>;
};

const repeatAfterMs = [100, 300, 1_000];
const hintSchema = z.object({ from: z.string(), account_id: z.int() });

/** Without Redis the streams of this instance alone are woken. */
export function createWakeUps({
  redis,
  redisUrl,
  redisPrefix,
  log,
}: {
  redis: Redis | undefined;
  redisUrl: string | undefined;
  /** Put before the channel's name, as before every key. */
  redisPrefix: string;
  log: Log;
}): WakeUps {
  const channel = `${redisPrefix}wake`;
  const self = randomUUID();
  const stopping = new AbortController();
  let listener: (who: number | 'all') => void = () => {};
  const subscriber: RedisSubscriber | undefined =
    redisUrl === undefined ? undefined : createRedisSubscriber({ url: redisUrl, log, missed: () => listener('all') });

  subscriber?.subscribe(channel, (message) => {
    const hint = hintSchema.safeParse(parseJson(message));
    if (hint.success && hint.data.from !== self) listener(hint.data.account_id);
  });

  /** Says it again where Redis was late or away for a moment. */
  const publish = async (hint: string): Promise<void> => {
    for (const waitMs of [...repeatAfterMs, 0]) {
      if (redis === undefined) return;
      if ((await redis.run((client) => client.publish(channel, hint))) !== undefined) return;
      if (waitMs === 0 || (await pause(waitMs, stopping.signal)) === 'aborted') return;
    }
  };

  return {
    wake(accountId) {
      listener(accountId);
      publish(JSON.stringify({ from: self, account_id: accountId })).catch((error: unknown) =>
        log.warn({ err: error }, 'a wake-up was not published'),
      );
    },
    listen(next) {
      listener = next;
    },
    ready: () => subscriber?.ready() ?? true,
    async stop() {
      stopping.abort();
      await subscriber?.close();
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
