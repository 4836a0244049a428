import type { StackAddresses } from '@strangler/stack/addresses.ts';
import { downStack, statusStack, upStack } from '@strangler/stack/servers.ts';

/** The real servers that a bench works on. */
export type BenchServers = {
  addresses: StackAddresses;
  /** Of a schema, as the administrator. */
  databaseUrl(name: string): string;
  /** Their processes, to tell how much they work; none for servers that are not ours. */
  pids: { database: number[]; broker: number[] };
  close(): Promise<void>;
};

/** Uses an instance that is up, and leaves it so; else brings one up, and takes it away again with its data. */
export const openServers = async (instance: string, say: (line: string) => void): Promise<BenchServers> => {
  const status = await statusStack(instance);
  const running = status.up ? status.addresses : undefined;
  const addresses = running ?? (await upStack({ instance, log: say }));
  const { servers } = await statusStack(instance);
  const pidsOf = (wanted: string): number[] =>
    servers.flatMap(({ name, record }) => (name === wanted ? (record?.processes ?? []).map(({ pid }) => pid) : []));
  return {
    addresses,
    pids: { database: pidsOf('mysql'), broker: pidsOf('rabbitmq') },
    databaseUrl(name) {
      const url = new URL(addresses.mysqlUrl);
      url.pathname = `/${name}`;
      return url.href;
    },
    close: async () => {
      if (running === undefined) await downStack(instance, { purge: true });
    },
  };
};
