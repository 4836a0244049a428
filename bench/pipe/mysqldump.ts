import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Engine } from '@strangler/stack/addresses.ts';
import { stackHome } from '@strangler/stack/home/paths.ts';
import { type PackageSet, packageSets } from '@strangler/stack/packages/sets.ts';
import { ensureUnpacked } from '@strangler/stack/packages/unpack.ts';
import type { Command } from '@strangler/stack/process/run.ts';
import { fromMachine, fromPackages, programFolders } from '@strangler/stack/source/installation.ts';

import { writeClientOptions } from './client-options.ts';

/** mysqldump and mysql, or MariaDB's programs of these kinds. */
export type DumpPrograms = { dump(args: string[]): Command; load(args: string[]): Command };

/** The same server has these transactions already. */
const withoutGtids: Record<Engine, string[]> = { mysql: ['--set-gtid-purged=OFF'], mariadb: [] };

const names: Record<Engine, { dump: string; load: string }> = {
  mysql: { dump: 'mysqldump', load: 'mysql' },
  mariadb: { dump: 'mariadb-dump', load: 'mariadb' },
};

/** Debian's client programs, unpacked beside the servers'. */
const clientSet = (engine: Engine): PackageSet => ({
  ...packageSets[engine],
  // A folder of its own; the stack itself needs no clients.
  name: `${engine}-client` as PackageSet['name'],
  choices:
    engine === 'mysql'
      ? [{ suite: 'sid', root: /^mysql-client-core$/, loader: 'unpacked' }]
      : [{ suite: 'native', root: /^mariadb-client$/, loader: 'system' }],
  alsoKeep: /^mariadb-client-core$/,
  program: `usr/bin/${names[engine].dump}`,
});

/** The machine's own, else Debian's packages; null, and a line that says so, where neither is to be had. */
export const findDumpPrograms = async (engine: Engine, say: (line: string) => void): Promise<DumpPrograms | null> => {
  const { dump, load } = names[engine];
  const version = (output: string) => /\bVer (\d+\.\d+)/.exec(output)?.[1];
  const machine = { names: [dump], versionArgs: ['--no-defaults', '--version'], version };
  try {
    const home = stackHome();
    const found =
      (await fromMachine(machine, programFolders())) ??
      fromPackages(await ensureUnpacked(clientSet(engine), { home, say }));
    return {
      // A file of options has to come first.
      dump: ([options = '', ...args]) => found.command(found.program, [options, ...withoutGtids[engine], ...args]),
      load: (args) => found.command(join(found.prefix, 'bin', load), args),
    };
  } catch (error) {
    say(`${dump} is not to be had, so the copy is not compared with it: ${(error as Error).message.split('\n')[0]}`);
    return null;
  }
};

/** Pipes a dump of one table's rows into the other schema, where the table stands. Gives how long that took, in ms. */
export const dumpCopy = async (
  { dump, load }: DumpPrograms,
  { sourceUrl, targetUrl, table }: { sourceUrl: string; targetUrl: string; table: string },
): Promise<number> => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-dump-'));
  try {
    const options = await writeClientOptions(join(folder, 'client.cnf'), sourceUrl);
    const from = `--defaults-file=${options}`;
    const nameOf = (address: string) => new URL(address).pathname.slice(1);
    const startedAt = performance.now();
    const source = start(dump([from, '--single-transaction', '--no-create-info', nameOf(sourceUrl), table]));
    const target = start(load([from, nameOf(targetUrl)]));
    const ended = [source, target].map(async (child) => {
      const [code] = await once(child, 'exit');
      if (code !== 0) throw new Error(`${child.spawnargs[0]}: expected exit code 0, found ${code}`);
    });
    await Promise.all([pipeline(source.stdout, target.stdin), ...ended]);
    return performance.now() - startedAt;
  } finally {
    await rm(folder, { recursive: true });
  }
};

const start = ({ file, args, env }: Command) =>
  spawn(file, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
