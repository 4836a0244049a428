import { existsSync, globSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import type { Source } from '../addresses.ts';
import type { UnpackedSet } from '../packages/unpack.ts';
import { type Command, runCommand } from '../process/run.ts';

/** A server program on this machine that can be run as a private instance, wherever it came from. */
export type Installation = {
  source: Extract<Source, 'machine' | 'packages'>;
  version: string;
  /** The server's program, absolute. */
  program: string;
  /** What `/usr` would be for it: `bin`, `sbin`, `lib` and `share` are looked for in here. */
  prefix: string;
  /** The command line that runs a program of this installation with its own libraries. */
  command(program: string, args: string[]): Command;
};

/** An unpacked set of packages as something that can be run. */
export function fromPackages(unpacked: UnpackedSet): Installation {
  const { folder, program, version, loader } = unpacked;
  const libraries = libraryFolders(folder).join(delimiter);
  const dynamicLoader = loader === 'unpacked' ? findLoader(folder) : undefined;
  return {
    source: 'packages',
    version,
    program,
    prefix: join(folder, 'usr'),
    command: (file, args) =>
      dynamicLoader === undefined
        ? { file, args, env: { LD_LIBRARY_PATH: libraries } }
        : { file: dynamicLoader, args: ['--library-path', libraries, file, ...args] },
  };
}

/** The folders under an unpacked root in which Debian's packages keep shared libraries. */
export function libraryFolders(folder: string): string[] {
  const patterns = ['usr/lib/*-linux-gnu*', 'lib/*-linux-gnu*', 'usr/lib/*-linux-gnu*/*/', 'usr/lib/mysql/private'];
  const holding = patterns
    .flatMap((pattern) => globSync(pattern, { cwd: folder }))
    .filter((name) => globSync('*.so*', { cwd: join(folder, name) }).length > 0);
  return [...new Set(holding)].sort((a, b) => a.length - b.length).map((name) => join(folder, name));
}

function findLoader(folder: string): string {
  const loader = globSync(
    [
      'usr/lib/*-linux-gnu*/ld-linux-*.so.*',
      'lib/*-linux-gnu*/ld-linux-*.so.*',
      'lib64/ld-linux-*.so.*',
      'lib/ld-linux-*.so.*',
    ],
    { cwd: folder },
  )[0];
  if (loader === undefined)
    throw new Error(
      `no dynamic loader (ld-linux-*.so.*) among the packages unpacked in ${folder}; remove that folder and run again`,
    );
  return join(folder, loader);
}

/** How a server's program is recognised on a machine. */
export type MachineProgram = {
  /** Absolute glob patterns that are looked at before PATH. */
  places?: string[];
  names: string[];
  /** Absent for a program that has no way to say its version. */
  versionArgs?: string[];
  /** Takes the output of `versionArgs` and the program's real path; undefined: another program, or one too old. */
  version(output: string, program: string): string | undefined;
};

/** Where programs lie: PATH, and where daemons are put that an ordinary user's PATH leaves out. */
export function programFolders(env: NodeJS.ProcessEnv = process.env): string[] {
  const usual = [
    '/usr/local/sbin',
    '/usr/sbin',
    '/usr/local/bin',
    '/usr/bin',
    '/opt/homebrew/bin',
    '/opt/homebrew/sbin',
  ];
  return [...(env.PATH ?? '').split(delimiter), ...usual].filter((folder) => folder !== '');
}

/** The first of a machine's programs that answers as expected; undefined when there is none. */
export async function fromMachine(
  wanted: MachineProgram,
  folders: readonly string[],
): Promise<Installation | undefined> {
  const candidates = [
    ...(wanted.places ?? []).flatMap((pattern) => globSync(pattern)),
    ...wanted.names.flatMap((name) => folders.map((folder) => join(folder, name))),
  ];
  for (const program of new Set(candidates)) {
    if (!existsSync(program)) continue;
    const version = await versionOf(program, wanted);
    if (version !== undefined) {
      return {
        source: 'machine',
        version,
        program,
        prefix: dirname(dirname(program)),
        command: (file, args) => ({ file, args }),
      };
    }
  }
  return undefined;
}

async function versionOf(program: string, wanted: MachineProgram): Promise<string | undefined> {
  const path = realpathSync(program);
  if (wanted.versionArgs === undefined) return wanted.version('', path);
  const result = await runCommand({ file: program, args: wanted.versionArgs }, { timeoutMs: 15_000 });
  return result.code === 0 ? wanted.version(`${result.stdout}\n${result.stderr}`, path) : undefined;
}
