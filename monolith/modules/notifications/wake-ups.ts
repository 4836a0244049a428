import { randomUUID } from 'node:crypto';
import { pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import { z } from 'zod';
import type { Redis } from '../module.ts';

/**
 * Tells every process of the shop that an account has something new. Only a hint: what is new stands in the database, so
 * a hint that is lost, doubled or early does no harm beyond a delay or a read.
 */
export type WakeUps = {
  /** Wakes the account's streams here at once, and those of other processes through Redis, if it is there. */
  wake(accountId: number): void;
  /** Names who is woken: for one account, or for `all` after a time without Redis, in which hints may have been missed. */
  listen(listener: (who: number | 'all') => void): void;
  start(): Promise<void>;
  stop(): Promise<void>;
};

const repeatAfterMs = [100, 300, 1_000];

const hintSchema = z.object({ from: z.string(), account_id: z.int() });

/** Without Redis the streams of this process alone are woken. */
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
  const channel = `${redisPrefix}notifications:wake`;
  const self = randomUUID();
  let listener: (who: number | 'all') => void = () => {};
  let subscriber: Awaited<ReturnType<typeof subscribingClient>> | undefined;

  const heard = (message: string) => {
    const hint = hintSchema.safeParse(parseJson(message));
    if (hint.success && hint.data.from !== self) listener(hint.data.account_id);
  };

  /** Says it again where Redis was late or away for a moment; doubled hints do no harm. */
  const publish = async (hint: string): Promise<void> => {
    if (redis === undefined) return;
    for (const waitMs of repeatAfterMs) {
      if ((await redis.run((client) => client.publish(channel, hint))) !== undefined) return;
      await pause(waitMs);
    }
    await redis.run((client) => client.publish(channel, hint));
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
    async start() {
      if (redisUrl === undefined) return;
      // A connection of its own: one that subscribes can do nothing else.
      const client = await subscribingClient(redisUrl);
      subscriber = client;
      client.on('error', (error: unknown) => log.debug({ err: error }, 'the subscription for wake-ups is away'));
      // Subscriptions are renewed by the client before it is ready again.
      client.on('ready', () => listener('all'));
      // Redis may be away now and come later: the shop does not wait for it.
      client
        .connect()
        .then(() => client.subscribe(channel, heard))
        // Hints sent before the subscription stood were missed.
        .then(() => listener('all'))
        .catch((error: unknown) => {
          if (subscriber === client) log.warn({ err: error }, 'no subscription for wake-ups');
        });
    },
    async stop() {
      const client = subscriber;
      subscriber = undefined;
      client?.destroy();
    },
  };
}

async function subscribingClient(url: string) {
  // Several hundred modules, for nothing where there is no Redis.
  const { createClient } = await import('redis');
  return createClient({
    url,
    socket: {
      connectTimeout: 2_000,
      reconnectStrategy: (retries) => Math.min(5_000, 50 * 2 ** Math.min(retries, 7)) * (0.5 + Math.random() / 2),
    },
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
