import { join } from 'node:path';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import type { Slice, SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import { askProxies } from '@strangler/platform/proxy-status/ask-proxies.ts';
import { connect } from '@strangler/platform/rabbit.ts';
import type { Command } from 'commander';
import { type Check, worst } from '../doctor/check.ts';
import { factOf } from '../doctor/fact-of.ts';
import type { DatabaseFacts, Facts, SliceFacts } from '../doctor/facts.ts';
import { gatherDatabase } from '../doctor/gather-databases.ts';
import { gatherBroker, gatherDisk, gatherRedis, gatherStore } from '../doctor/gather-servers.ts';
import { gatherSlice } from '../doctor/gather-slice.ts';
import { judge } from '../doctor/judge.ts';
import { endedCopies } from '../engine/pipe/ended-copies.ts';
import { openPipeDatabases, type PipeDatabases } from '../engine/pipe/open-databases.ts';
import { addressOf } from './addresses.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import {
  type BrokerOptions,
  brokerUrl,
  databaseUrls,
  exchangeOf,
  type PipeOptions,
  targetVariable,
  withBrokerOptions,
  withPipeOptions,
} from './pipe-options.ts';
import { type RedisOptions, redisUrl, withRedisOption } from './shadow-options.ts';
import { setting } from './slice-option.ts';
import { collectUrl, proxyAddresses } from './status-command.ts';
import { formatTable } from './table.ts';
import { openStore, type StoreOptions, type Terminal, withStoreOption } from './terminal.ts';

type DoctorOptions = StoreOptions &
  PipeOptions &
  BrokerOptions &
  RedisOptions & { proxy: string[]; json?: boolean; all?: boolean };

/** `strangler doctor [slice…]`. */
export const addDoctorCommand = (program: Command, terminal: Terminal): void => {
  withRedisOption(withBrokerOptions(withPipeOptions(withStoreOption(program.command('doctor [slices...]')))))
    .description(
      'look at everything that a migration stands on, and say what is wrong and what to do; of these slices, or of all',
    )
    .option(
      '--proxy <url>',
      "a proxy's admin address; again for more (default: those registered in Consul)",
      collectUrl,
      [],
    )
    .option('--all', 'print what is well too')
    .option('--json', 'print JSON: one object with every check')
    .action(async (slices: string[], options: DoctorOptions) => {
      const checks = judge(await gather(slices, options, terminal));
      const outcome = worst(checks);
      terminal.out(options.json ? JSON.stringify({ outcome, checks }) : formatChecks(checks, options.all === true));
      const failed = checks.filter((check) => check.outcome === 'fail').length;
      if (failed > 0) throw new CliError(`${failed} of ${checks.length} checks failed`, exitCodes.failed);
    });
};

const gather = async (named: readonly string[], options: DoctorOptions, terminal: Terminal): Promise<Facts> => {
  const { environment, log } = terminal;
  const folder = setting(options.slices ?? environment.STRANGLER_SLICES, '--slices <folder>', 'STRANGLER_SLICES');
  const read = await factOf(() => readSliceDirectory(folder));
  const all = read.known ? read.value : [];
  const unknown = named.find((name) => read.known && !all.some(({ slice }) => slice === name));
  if (unknown !== undefined) {
    const known = all.map(({ slice }) => slice).join(', ') || 'none there';
    throw new CliError(`expected a slice of ${folder} (${known}), found "${unknown}"`, exitCodes.usage);
  }
  const broker = brokerUrl(options, terminal);
  const redis = redisUrl(options, terminal);
  const opened = openStore(options, terminal);
  const rabbit = connect({ url: broker, log, channelTimeoutMs: 3_000 });
  const pipes = new Map<string, Opened>();
  try {
    const store = await gatherStore(opened);
    const flagOf = (slice: string) =>
      store.listing.known ? (store.listing.value.flags.get(slice)?.document ?? null) : null;
    const wanted = named.length === 0 ? all : all.filter(({ slice }) => named.includes(slice));
    const begun = ({ slice }: Slice) =>
      named.length > 0 || all.length === 1 || flagOf(slice) !== null || Boolean(environment[targetVariable(slice)]);
    for (const slice of wanted)
      if (begun(slice) && slice.tables.length > 0) pipes.set(slice.slice, openFor(slice, folder, options, terminal));
    const [answers, databases] = await Promise.all([
      gatherBroker(rabbit, addressOf(broker), exchangeOf(options, terminal)),
      gatherDatabases(pipes),
    ]);
    const silent = new Set(databases.flatMap(({ server, slices }) => (server.known ? [] : slices)));
    for (const [name, { pipe }] of [...pipes]) {
      const slice = wanted.find((one) => one.slice === name);
      const ended = slice && !silent.has(name) ? await endedCopies(slice, pipe.source.read) : [];
      if (slice === undefined || ended.length === 0) continue;
      await pipe.close();
      pipes.set(name, openFor(slice, folder, options, terminal, ended));
    }
    const slices: SliceFacts[] = [];
    for (const slice of wanted) {
      const pipe = silent.has(slice.slice) ? null : (pipes.get(slice.slice)?.pipe ?? null);
      const facts = await gatherSlice(slice.slice, pipe, answers.answers.known ? rabbit : null, flagOf(slice.slice));
      slices.push({ ...facts, looked: begun(slice) });
    }
    const addresses = await factOf(() => proxyAddresses(opened.consul, options.proxy));
    return {
      now: new Date(),
      sliceFiles: read.known ? { known: true, value: { folder, slices: all.map(({ slice }) => slice) } } : read,
      databases,
      slices,
      broker: answers,
      redis: await gatherRedis(redis, addressOf(redis), log),
      store,
      proxies: await askProxies(addresses.known ? addresses.value : []),
      disk: await gatherDisk(folder),
    };
  } finally {
    opened.close();
    await Promise.all([rabbit.close(), ...[...pipes.values()].map(({ pipe }) => pipe.close())]);
  }
};

type Opened = { pipe: PipeDatabases; sourceUrl: string; targetUrl: string };

const openFor = (
  slice: Slice,
  folder: string,
  options: DoctorOptions,
  terminal: Terminal,
  ended: readonly SliceTable[] = [],
): Opened => {
  const { sourceUrl, targetUrl } = databaseUrls(options, terminal, slice.slice);
  const at = { slice, ended, folder: join(folder, slice.slice), sourceUrl, targetUrl };
  return { pipe: openPipeDatabases({ ...at, connectionLimit: 2 }), sourceUrl, targetUrl };
};

/** Each database once, however many slices are in it. */
const gatherDatabases = (pipes: ReadonlyMap<string, Opened>): Promise<DatabaseFacts[]> => {
  const databases = new Map<string, { facts: Omit<DatabaseFacts, 'server'>; pool: PipeDatabases['source']['read'] }>();
  const add = (end: DatabaseFacts['end'], slice: string, url: string, pool: PipeDatabases['source']['read']): void => {
    const known = databases.get(`${end} ${url}`);
    if (known === undefined)
      databases.set(`${end} ${url}`, { facts: { end, slices: [slice], where: addressOf(url) }, pool });
    else known.facts.slices.push(slice);
  };
  for (const [slice, { pipe, sourceUrl, targetUrl }] of pipes) {
    add('source', slice, sourceUrl, pipe.source.read);
    add('target', slice, targetUrl, pipe.target.read);
  }
  return Promise.all([...databases.values()].map(({ facts, pool }) => gatherDatabase(facts, pool)));
};

/** What is not well, each with what to do; with `all` the rest too. */
const formatChecks = (checks: readonly Check[], all: boolean): string => {
  const shown = all ? checks : checks.filter(({ outcome }) => outcome !== 'ok');
  const count = (outcome: Check['outcome']) => checks.filter((check) => check.outcome === outcome).length;
  const parts: string[] = [];
  if (shown.length > 0)
    parts.push(
      formatTable(
        ['', 'CHECK', 'WHERE', 'EXPECTED', 'FOUND'],
        shown.map(({ outcome, check, where, expected, found }) => [outcome, check, where, expected, found]),
      ),
    );
  const todo = shown.flatMap(({ check, where, next }) => (next === null ? [] : [`${check}, ${where}: ${next}`]));
  if (todo.length > 0) parts.push(todo.join('\n'));
  parts.push(`${count('ok')} ok, ${count('warn')} to look at, ${count('fail')} wrong`);
  return parts.join('\n\n');
};
