import { randomBytes } from 'node:crypto';
import { createClient } from 'redis';

/** Who has an account at Redis, and what the names of its keys and channels begin with. */
export const redisPrefixes = {
  shop: ['shop:'],
  catalog: ['catalog:'],
  notifications: ['notifications:'],
  /** What the gateway caches and counts, and what was compared of live answers. */
  proxy: ['strangler:', 'strangler-cache:', 'gateway:'],
  /** The data mover and its operator, who read what was compared. */
  strangler: ['strangler:'],
} as const;
export type RedisAccount = keyof typeof redisPrefixes;
export const redisAccounts = Object.keys(redisPrefixes) as RedisAccount[];

/**
 * The rules of an account. Every command but those of an administrator and those that reach beyond an account's own keys; INFO, by which
 * clients learn what they speak with. A script may touch no other keys than its caller.
 */
export function redisRules(account: RedisAccount, password: string): string[] {
  const own = redisPrefixes[account].flatMap((prefix) => [`~${prefix}*`, `&${prefix}*`]);
  return ['reset', 'on', `>${password}`, ...own, '+@all', '-@admin', '-@dangerous', '-scan', '-randomkey', '+info'];
}

/**
 * Gives each account its rules and its password, the one that is given or else a new one, and has Redis keep them where it has a file for
 * that. Resolves to each account's URL; to the given one for all where that may not make accounts.
 */
export async function giveRedisAccounts(
  redisUrl: string,
  {
    prefix = 'strangler',
    passwords = {},
    say,
  }: { prefix?: string; passwords?: Partial<Record<RedisAccount, string>>; say(line: string): void },
): Promise<Record<RedisAccount, string>> {
  const client = createClient({ url: redisUrl, socket: { reconnectStrategy: false } });
  client.on('error', () => {}); // The rejected call says the same.
  await client.connect();
  try {
    const urls: Partial<Record<RedisAccount, string>> = {};
    for (const account of redisAccounts) {
      const user = `${prefix}-${account}`;
      const password = passwords[account] ?? randomBytes(18).toString('hex');
      await client.sendCommand(['ACL', 'SETUSER', user, ...redisRules(account, password)]);
      urls[account] = Object.assign(new URL(redisUrl), { username: user, password }).href;
    }
    await client.sendCommand(['ACL', 'SAVE']).catch((error: Error) => {
      say(`Redis forgets its accounts when it is started again: ${error.message}`);
    });
    return urls as Record<RedisAccount, string>;
  } catch (error) {
    if (!/NOPERM|unknown command/i.test((error as Error).message)) throw error;
    say(`Redis: one account for all, for the given one may make none: ${(error as Error).message}`);
    return Object.fromEntries(redisAccounts.map((account) => [account, redisUrl])) as Record<RedisAccount, string>;
  } finally {
    client.destroy();
  }
}
