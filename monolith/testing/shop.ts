import { randomBytes } from 'node:crypto';
import { createLog } from '@strangler/platform/log.ts';
import { freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import { createClient } from 'redis';
import type { Role } from '../auth/auth.ts';
import type { Clock } from '../clock.ts';
import { monolithConfig } from '../config.ts';
import { openApiDocument } from '../openapi/document.ts';
import { type RunningShop, startShop } from '../shop.ts';
import { type ContractClient, contractClient } from './contract-client.ts';
import { type Contract, createContract } from './openapi-contract.ts';
import { eventFaults } from './recorded-events.ts';

export type TestAccount = { id: number; email: string; token: string; client: ContractClient };

export type TestShop = RunningShop & {
  url: string;
  /** Of the shop's own user. */
  databaseUrl: string;
  /** Not logged in. Throws on every answer that is not described. */
  client: ContractClient;
  clock: TestClock;
  /** Makes an account and logs it in, without going through the API. */
  account(role: Role, displayName?: string): Promise<TestAccount>;
  /** Stops the shop and drops its database. Throws where the shop has told of something in another way than its schema describes. */
  stop(): Promise<void>;
};

export type TestClock = Clock & {
  /** Milliseconds from now on; the clock goes on from there. */
  advance(ms: number): void;
};

/** A clock that runs with the real one, ahead of it by what a test has added. Never the same millisecond twice. */
export function testClock(): TestClock {
  let offsetMs = 0;
  let lastMs = 0;
  return {
    now: () => {
      lastMs = Math.max(lastMs + 1, Date.now() + offsetMs);
      return new Date(lastMs);
    },
    advance: (ms) => {
      offsetMs += ms;
    },
  };
}

/** Compiled once for all shops of a process. */
let contract: Contract | undefined;

/** The whole shop on a fresh database of its own, listening on a free port. `env` goes over what the tests need. */
export async function startTestShop(label: string, env: NodeJS.ProcessEnv = {}): Promise<TestShop> {
  const servers = testServers();
  const database = await freshDatabase(label);
  const clock = testClock();
  try {
    const config = monolithConfig({
      PORT: '0',
      SERVICE_ID: `monolith-${database.name}`,
      DATABASE_URL: database.url,
      REDIS_URL: servers.redisUrl,
      REDIS_PREFIX: `${database.name}:`,
      AUTO_MIGRATE: 'true',
      PASSWORD_LOG_COST: '12',
      ...env,
    });
    const log = createLog({ name: 'monolith', level: process.env.TEST_LOG_LEVEL ?? 'fatal' });
    const shop = await startShop({ config, log, clock });
    contract ??= createContract(openApiDocument());
    const client = contractClient({ url: shop.server.url, contract });

    const account = async (role: Role, displayName = role): Promise<TestAccount> => {
      const now = clock.now();
      const email = `${role}-${randomBytes(6).toString('hex')}@shop.example`;
      const row = await shop.deps.models.Account.create({
        email,
        display_name: displayName,
        role,
        password_hash: '',
        created_at: now,
        updated_at: now,
      });
      const id = Number(row.id);
      const { token } = await shop.deps.accessTokens.issue({ accountId: id, role, sessionId: undefined });
      return { id, email, token, client: client.as(token) };
    };

    return {
      ...shop,
      url: shop.server.url,
      databaseUrl: database.url,
      client,
      clock,
      account,
      stop: async () => {
        const faults = await eventFaults(shop.database.sequelize);
        await shop.lifecycle.stop('end of test');
        await database.drop();
        await deleteKeys(servers.redisUrl, `${database.name}:*`);
        if (faults.length > 0) throw new Error(`events are not as described:\n${faults.join('\n')}`);
      },
    };
  } catch (error) {
    await database.drop();
    throw error;
  }
}

/** Deletes the keys that a shop has left in the Redis which all tests share. */
async function deleteKeys(redisUrl: string, pattern: string): Promise<void> {
  const client = createClient({ url: redisUrl });
  await client.connect();
  try {
    for await (const keys of client.scanIterator({ MATCH: pattern, COUNT: 1000 })) {
      if (keys.length > 0) await client.del(keys);
    }
  } finally {
    await client.close();
  }
}
