import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { StackAddresses } from '@strangler/stack/addresses.ts';
import { stackHome } from '@strangler/stack/home/paths.ts';
import { instanceNames } from '@strangler/stack/instance/records.ts';
import { downStack, isInUse, upStack } from '@strangler/stack/servers.ts';
import { isSystemInUse, stopSystem } from '@strangler/stack/system/system.ts';
import { FLUSH_LOG_AT_COMMIT, type Needs } from './phases.ts';

export type Servers = { instance: string; addresses: StackAddresses };

/** Brings servers up when the first phase needs them, and everything down at the end. */
export type TestServers = {
  /** The servers of a phase; undefined when it needs none. */
  of(needs: Needs): Promise<Servers | undefined>;
  /**
   * Stops the instances of this run, and those that runs before it have left behind, and deletes their data. Whoever still uses one of a
   * test file has `waitMs` to end; then it is left to him, and named.
   */
  clear(options?: { waitMs: number }): Promise<void>;
};

/** Test files that bring up an instance of their own call it this, a hyphen and something. */
const TEST_INSTANCE = 'test';

export function createTestServers(options: { say: (line: string) => void; signal: AbortSignal }): TestServers {
  const { say, signal } = options;
  let mysql: Promise<Servers> | undefined;
  let mariadb: Promise<Servers> | undefined;
  const env = { STACK_FLUSH_LOG_AT_COMMIT: FLUSH_LOG_AT_COMMIT, ...process.env };
  const up = async (instance: string, more: Parameters<typeof upStack>[0]): Promise<Servers> => ({
    instance,
    addresses: await upStack({ instance, log: say, signal, env, ...more }),
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
    async clear({ waitMs } = { waitMs: 0 }) {
      const own = [TEST_INSTANCE, `${TEST_INSTANCE}-mariadb`];
      // Instances of single test files, which end with them; what is left is of runs that were killed.
      const left = () => instanceNames(stackHome()).filter((name) => /^(test|jest)-/.test(name) && !own.includes(name));
      const inUse = () => left().filter((name) => isInUse(name) || isSystemInUse(name));
      // Whom an interrupted test has begun may still be bringing up what it asked for.
      await eventually(() => inUse().length === 0, { withinMs: waitMs }).catch(() => {});
      const used = inUse();
      if (waitMs > 0 && used.length > 0) say(`still in use, and left as they are: ${used.join(', ')}`);
      for (const instance of [...left().filter((name) => !used.includes(name)), ...own]) {
        await stopSystem(instance);
        await downStack(instance, { purge: true });
      }
    },
  };
}
