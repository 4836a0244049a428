import type { StackAddresses } from '@strangler/stack/addresses.ts';
import { stackHome } from '@strangler/stack/home/paths.ts';
import { instanceNames } from '@strangler/stack/instance/records.ts';
import { downStack, upStack } from '@strangler/stack/servers.ts';
import { stopSystem } from '@strangler/stack/system/system.ts';
import type { Needs } from './phases.ts';

export type Servers = { instance: string; addresses: StackAddresses };

/** Brings servers up when the first phase needs them, and everything down at the end. */
export type TestServers = {
  /** The servers of a phase; undefined when it needs none. */
  of(needs: Needs): Promise<Servers | undefined>;
  /** Stops every instance of a test run, and deletes its data. */
  clear(): Promise<void>;
};

/** Instances that tests bring up are called this, or this and a hyphen and something. */
const TEST_INSTANCE = 'test';

export function createTestServers(options: { say: (line: string) => void; signal: AbortSignal }): TestServers {
  const { say, signal } = options;
  let mysql: Promise<Servers> | undefined;
  let mariadb: Promise<Servers> | undefined;
  const up = async (instance: string, more: Parameters<typeof upStack>[0]): Promise<Servers> => ({
    instance,
    addresses: await upStack({ instance, log: say, signal, ...more }),
  });
  return {
    async of(needs) {
      if (needs === 'nothing') return undefined;
      mysql ??= up(TEST_INSTANCE, {});
      if (needs === 'mysql') return await mysql;
      const { addresses } = await mysql;
      // Only the database differs; the other servers serve both.
      const urls = { rabbitmq: addresses.rabbitmqUrl, redis: addresses.redisUrl, consul: addresses.consulUrl };
      mariadb ??= up(`${TEST_INSTANCE}-mariadb`, { db: 'mariadb', urls });
      return await mariadb;
    },
    async clear() {
      const names = instanceNames(stackHome()).filter(
        (name) => name === TEST_INSTANCE || name.startsWith(`${TEST_INSTANCE}-`),
      );
      for (const instance of names) {
        await stopSystem(instance);
        await downStack(instance, { purge: true });
      }
    },
  };
}
