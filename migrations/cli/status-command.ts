import { pause } from '@strangler/platform/backoff.ts';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { proxyServiceName } from '@strangler/platform/contracts/proxy-status.ts';
import type { Command } from 'commander';
import { askProxies } from './ask-proxies.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { listInstances } from './list-instances.ts';
import { formatStatus, type Status, summarise } from './status.ts';
import { openStore, type StoreOptions, type Terminal, withStoreOption } from './terminal.ts';

type StatusOptions = StoreOptions & { proxy: string[]; watch?: boolean; json?: boolean };

const refreshMs = 1000;

/** `strangler status [--watch]`. */
export const addStatusCommand = (program: Command, terminal: Terminal): void => {
  withStoreOption(program.command('status'))
    .description('show where every slice stands, who obeys its flags, and what serves it')
    .option(
      '--proxy <url>',
      "a proxy's admin address; again for more (default: those registered in Consul)",
      collectUrl,
      [],
    )
    .option('--watch', 'show every change until Ctrl-C')
    .option('--json', 'print JSON: one object, or with --watch one a line')
    .action(async (options: StatusOptions) => {
      const { store, consul, close } = openStore(options, terminal);
      const look = async (): Promise<Status> =>
        summarise(await store.list(), await askProxies(await proxyAddresses(consul, options.proxy)));
      const format = (status: Status): string => (options.json ? JSON.stringify(status) : formatStatus(status));
      try {
        let shown = format(await look());
        terminal.out(shown);
        while (options.watch && (await pause(refreshMs, terminal.signal)) === 'elapsed') {
          const text = format(await look());
          if (text === shown) continue;
          shown = text;
          terminal.out(options.json ? text : `\n${text}`);
        }
      } finally {
        close();
      }
    });
};

const collectUrl = (value: string, all: string[]): string[] => {
  if (URL.canParse(value) && /^https?:/.test(value)) return [...all, value];
  throw new CliError(`--proxy: expected an address such as http://127.0.0.1:8081, found "${value}"`, exitCodes.usage);
};

const proxyAddresses = async (consul: ConsulClient | null, named: string[]): Promise<string[]> => {
  if (named.length > 0 || consul === null) return named;
  const proxies = await listInstances(consul, proxyServiceName);
  return proxies.flatMap(({ meta }) => (meta.admin === undefined ? [] : [meta.admin]));
};
