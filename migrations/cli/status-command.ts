import { pause } from '@strangler/platform/backoff.ts';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { proxyServiceName } from '@strangler/platform/contracts/proxy-status.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { askProxies } from '@strangler/platform/proxy-status/ask-proxies.ts';
import type { Command } from 'commander';
import { readProgress, type SliceProgress } from '../engine/stages/progress-board.ts';
import { readCanaryStanding } from './canary-standing.ts';
import { documentInForce } from './document-in-force.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { listInstances } from './list-instances.ts';
import {
  type BrokerOptions,
  openPipe,
  type PipeOptions,
  withBroker,
  withBrokerOptions,
  withPipe,
  withPipeOptions,
} from './pipe-options.ts';
import { judgeSliceComparison } from './shadow-figures.ts';
import { type RedisOptions, withRedisOption } from './shadow-options.ts';
import { formatSliceReport, reportSlice } from './slice-status.ts';
import { formatStatus, summarise } from './status.ts';
import { openStore, type StoreOptions, type Terminal, withStoreOption } from './terminal.ts';

type StatusOptions = StoreOptions &
  PipeOptions &
  BrokerOptions &
  RedisOptions & { proxy: string[]; watch?: boolean; json?: boolean };

const refreshMs = 1000;

/** `strangler status [slice] [--watch]`. */
export const addStatusCommand = (program: Command, terminal: Terminal): void => {
  withRedisOption(withBrokerOptions(withPipeOptions(withStoreOption(program.command('status [slice]')))))
    .description(
      'show where every slice stands, who obeys its flags, and what serves it; of one slice, how far its data is, ' +
        'and what keeps its next gate shut',
    )
    .option(
      '--proxy <url>',
      "a proxy's admin address; again for more (default: those registered in Consul)",
      collectUrl,
      [],
    )
    .option('--watch', 'show every change until Ctrl-C')
    .option('--json', 'print JSON: one object, or with --watch one a line')
    .action(async (slice: string | undefined, options: StatusOptions) => {
      const { store, consul, root, close } = openStore(options, terminal);
      const overview = async (): Promise<string> => {
        const asked = await askProxies(await proxyAddresses(consul, options.proxy));
        const status = summarise(await store.list(), asked, await progressOf(store, consul));
        return options.json ? JSON.stringify(status) : formatStatus(status);
      };
      try {
        if (slice === undefined) await showChanges(overview, options, terminal);
        else {
          await withBroker(options, terminal, (rabbit) =>
            withPipe(options, terminal, slice, async (forward) => {
              const reverse = await openPipe(options, terminal, slice, 'reverse');
              const look = async (): Promise<string> => {
                const document = await documentInForce(store, slice);
                const { writes } = document;
                const owner = writes.owner === 'held' ? writes.from : writes.owner;
                const standing = consul === null ? null : await readCanaryStanding(consul.kv, root ?? '', slice);
                const databases = owner === 'service' ? reverse : forward;
                const judge = () => judgeSliceComparison(forward.slice, forward.folder, options, terminal);
                const report = await reportSlice(databases, rabbit, document, standing, judge);
                return options.json ? JSON.stringify(report) : formatSliceReport(report, new Date());
              };
              try {
                await showChanges(look, options, terminal);
              } finally {
                await reverse.close();
              }
            }),
          );
        }
      } finally {
        close();
      }
    });
};

/** Prints what `look` gives; with `--watch` again whenever it gives something else, until Ctrl-C. */
const showChanges = async (
  look: () => Promise<string>,
  options: Pick<StatusOptions, 'watch' | 'json'>,
  terminal: Terminal,
): Promise<void> => {
  let shown = await look();
  terminal.out(shown);
  while (options.watch && (await pause(refreshMs, terminal.signal)) === 'elapsed') {
    const text = await look();
    if (text === shown) continue;
    shown = text;
    terminal.out(options.json ? text : `\n${text}`);
  }
};

const progressOf = async (store: FlagStore, consul: ConsulClient | null): Promise<SliceProgress[]> => {
  if (consul === null) return [];
  const slices = [...(await store.list()).flags.keys()];
  const found = await Promise.all(slices.map((slice) => readProgress(consul.kv, slice)));
  return found.filter((progress) => progress !== undefined);
};

/** For an option that names admin addresses. */
export const collectUrl = (value: string, all: string[]): string[] => {
  if (URL.canParse(value) && /^https?:/.test(value)) return [...all, value];
  throw new CliError(`--proxy: expected an address such as http://127.0.0.1:8081, found "${value}"`, exitCodes.usage);
};

/** Those that are named, else those that are registered. */
export const proxyAddresses = async (consul: ConsulClient | null, named: string[]): Promise<string[]> => {
  if (named.length > 0 || consul === null) return named;
  const proxies = await listInstances(consul, proxyServiceName);
  return proxies.flatMap(({ meta }) => (meta.admin === undefined ? [] : [meta.admin]));
};
