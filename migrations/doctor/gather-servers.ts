import { randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { pause } from '@strangler/platform/backoff.ts';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { createSession } from '@strangler/platform/consul/session.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import { createRedis } from '@strangler/platform/redis.ts';
import { factOf } from './fact-of.ts';
import type { Facts, StoreFacts } from './facts.ts';

/**
 * Reads every flag, and tries in Consul what a proxy does to acknowledge a hold: writes a key of its own under a session,
 * whose end takes it away. That key is all that is ever written.
 */
export async function gatherStore({
  store,
  consul,
  root,
}: {
  store: FlagStore;
  consul: ConsulClient | null;
  root: string | null;
}): Promise<StoreFacts> {
  const listing = await factOf(() => store.list());
  if (consul === null) return { location: store.location, listing, session: null };
  const session = await factOf(() => trySession(consul, `${root ?? 'strangler'}/doctor/${randomUUID()}`));
  return { location: store.location, listing, session };
}

async function trySession(consul: ConsulClient, key: string): Promise<'written and gone'> {
  const session = await createSession(consul, {
    name: 'strangler doctor',
    ttlMs: 10_000,
    behavior: 'delete',
    lost: () => {},
  });
  try {
    if (!(await consul.kv.put(key, new Date().toISOString(), { acquire: session.id })))
      throw new Error(`the key ${key} could not be taken`);
    if ((await consul.kv.get(key, { consistent: true }))?.session !== session.id)
      throw new Error(`the key ${key} was written and is not the session's`);
  } finally {
    await session.destroy();
  }
  for (let tries = 0; tries < 20; tries += 1) {
    if ((await consul.kv.get(key, { consistent: true })) === undefined) return 'written and gone';
    await pause(50);
  }
  throw new Error(`the key ${key} is still there although its session has ended`);
}

export async function gatherBroker(
  rabbit: RabbitConnection,
  where: string,
  exchangeName: string,
): Promise<Facts['broker']> {
  const answers = await factOf(async () => {
    const channel = await rabbit.channel();
    channel.on('error', () => {});
    const exchange = await channel.checkExchange(exchangeName).then(
      () => true,
      (error: unknown) => {
        if ((error as { code?: number }).code === 404) return false;
        throw error;
      },
    );
    await channel.close().catch(() => {});
    return { exchange, exchangeName };
  });
  return { where, answers };
}

const redisWithinMs = 3_000;

export async function gatherRedis(url: string, where: string, log: Log): Promise<Facts['redis']> {
  const redis = createRedis({ url, log, connectTimeoutMs: redisWithinMs, commandTimeoutMs: redisWithinMs });
  try {
    const answers = await factOf(async () => {
      const info = (await redis.connected(redisWithinMs)) ? await redis.run((client) => client.info()) : undefined;
      if (info === undefined) throw new Error('it does not answer, or refuses this password');
      const value = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
      return {
        version: value('redis_version'),
        policy: value('maxmemory_policy') || 'noeviction',
        maxBytes: Number(value('maxmemory') || 0),
      };
    });
    return { where, answers };
  } finally {
    await redis.close();
  }
}

/** Of the machine that asks. */
export const gatherDisk = (folder: string): Promise<Facts['disk']> =>
  factOf(async () => {
    const { bsize, bavail, blocks } = await statfs(folder);
    return { where: folder, freeBytes: bsize * bavail, totalBytes: bsize * blocks };
  });
