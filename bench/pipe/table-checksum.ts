import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { stackHome } from '@strangler/stack/home/paths.ts';
import type { PackageSet } from '@strangler/stack/packages/sets.ts';
import { ensureUnpacked } from '@strangler/stack/packages/unpack.ts';
import { type Command, runCommand } from '@strangler/stack/process/run.ts';
import { isInstalled } from '../proxy/contestants.ts';
import { writeClientOptions } from './client-options.ts';

/** pt-table-checksum of Percona's toolkit. */
export type TableChecksum = { command(args: string[]): Command };

const program = 'pt-table-checksum';

/** As Debian has it, with the driver that it needs; Perl itself is the machine's. */
const packages: PackageSet = {
  // A folder of its own; the stack itself does not need it.
  name: 'percona-toolkit' as PackageSet['name'],
  choices: [{ suite: 'native', root: /^percona-toolkit$/, loader: 'system' }],
  alsoKeep: /^lib(dbi|dbd-mysql|term-readkey)-perl$/,
  leaveOut: /^lib(python|debuginfod|babeltrace|source-highlight|boost|ipt|mpfr|gmp)/,
  program: `usr/bin/${program}`,
  atMostMegabytes: 40,
};

/** The machine's own, else Debian's package; null, and a line that says so, where neither is to be had. */
export const findTableChecksum = async (say: (line: string) => void): Promise<TableChecksum | null> => {
  if (isInstalled(program)) return { command: (args) => ({ file: program, args }) };
  try {
    if (!isInstalled('perl')) throw new Error('this machine has no Perl');
    const { folder, program: file } = await ensureUnpacked(packages, { home: stackHome(), say });
    const found = await runCommand(
      { file: 'sh', args: ['-c', 'cd "$1/usr" && echo lib/*/perl5/* && echo lib/*-linux-gnu*', 'sh', folder] },
      { timeoutMs: 10_000 },
    );
    const [modules = '', libraries = ''] = found.stdout.split('\n').map((line) => join(folder, 'usr', line));
    const env = {
      PERL5LIB: [modules, join(folder, 'usr/share/perl5')].join(delimiter),
      LD_LIBRARY_PATH: libraries,
      MARIADB_PLUGIN_DIR: join(libraries, 'libmariadb3/plugin'),
    };
    const command = (args: string[]) => ({ file: 'perl', args: [file, ...args], env });
    const tried = await runCommand(command(['--version']), { timeoutMs: 20_000 });
    if (tried.code !== 0) throw new Error(tried.stderr.trim());
    return { command };
  } catch (error) {
    say(`${program} is not to be had, so verify is not compared with it: ${(error as Error).message.split('\n')[0]}`);
    return null;
  }
};

/** Has both sides' checksums computed, at the same time. @throws where the program says anything but that all went well. */
export const checksumBoth = async (
  { command }: TableChecksum,
  { urls, table }: { urls: readonly string[]; table: string },
): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-checksum-'));
  try {
    const runs = urls.map(async (url, index) => {
      const { hostname, port, pathname } = new URL(url);
      const database = pathname.slice(1);
      const options = await writeClientOptions(join(folder, `${index}.cnf`), url);
      const args = ['--config', '/dev/null', '--no-version-check', '--no-check-binlog-format', '--no-check-plan'];
      args.push('--no-check-replication-filters', '--recursion-method=none', '--create-replicate-table');
      args.push(`--databases=${database}`, `--tables=${table}`, `--replicate=${database}.checksums`);
      const result = await runCommand(command([...args, `F=${options},h=${hostname},P=${port}`]), {
        timeoutMs: 600_000,
      });
      if (result.code !== 0)
        throw new Error(`${program}: expected exit code 0, found ${result.code}: ${result.stderr}`);
    });
    await Promise.all(runs);
  } finally {
    await rm(folder, { recursive: true });
  }
};
