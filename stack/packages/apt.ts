import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from '../home/paths.ts';
import { type CommandResult, runCommand } from '../process/run.ts';
import { type AptSource, formatDeb822, nativeSources, otherSuite, parseDeb822, parseOneLine } from './apt-sources.ts';

/** What a failed apt command is reported as: the command, apt's last words, and what to do. */
export class AptError extends Error {
  override name = 'AptError';
}

/** A package file as apt knows it. */
export type PackageFile = {
  name: string;
  version: string;
  file: string;
  bytes: number;
  hash: { algorithm: string; hex: string };
};

/** apt with a configuration, package lists and cache of its own; the system's are read, never written. */
export type PrivateApt = {
  suite: string;
  /** Fetches the package lists unless they are younger than `maxAgeMs`. */
  update(maxAgeMs: number): Promise<void>;
  packageNames(): Promise<string[]>;
  dependsText(roots: readonly string[]): Promise<string>;
  /** Name, version, size and hash of what would be downloaded. */
  files(names: readonly string[]): Promise<PackageFile[]>;
  /** Downloads into `folder`; apt checks sizes and hashes. */
  download(files: readonly PackageFile[], folder: string): Promise<void>;
};

const UPDATE_TIMEOUT_MS = 180_000;
const DOWNLOAD_TIMEOUT_MS = 600_000;

/** Whether this machine has apt at all. */
export async function hasApt(): Promise<boolean> {
  const results = await Promise.all(
    ['apt-get', 'apt-cache', 'dpkg-deb'].map((file) =>
      runCommand({ file, args: ['--version'] }, { timeoutMs: 10_000 }),
    ),
  );
  return results.every(({ code }) => code === 0);
}

/** Sets up a private apt for the running release (`native`) or another suite of it, under `folder`. */
export async function privateApt(folder: string, suite: string, signal?: AbortSignal): Promise<PrivateApt> {
  const codename = releaseCodename();
  const all = readSystemSources('/etc/apt');
  if (all.length === 0)
    throw new AptError(
      'apt has no package sources here (nothing enabled in /etc/apt); set a STACK_…_URL instead, or install the server',
    );
  const sources = suite === 'native' ? nativeSources(all, codename) : [otherSuite(all, codename, suite)];
  if (sources.includes(undefined)) {
    throw new AptError(
      `no source in /etc/apt holds the component main of this release (${codename}), so its suite ${suite} cannot be reached`,
    );
  }
  const place = join(folder, suite);
  for (const sub of ['state/lists/partial', 'cache/archives/partial', 'sources']) {
    mkdirSync(join(place, sub), { recursive: true });
  }
  const architecture = (
    await runCommand({ file: 'dpkg', args: ['--print-architecture'] }, { timeoutMs: 10_000 })
  ).stdout.trim();
  writeWhole(join(place, 'sources', 'stack.sources'), formatDeb822(sources as AptSource[]), 0o644);
  // An empty status file: what the system has is left out of the closure by name, not resolved by apt.
  writeFileSync(join(place, 'status'), '');
  const configuration = join(place, 'apt.conf');
  writeWhole(configuration, aptConfiguration(place, architecture), 0o644);

  const apt = async (program: string, args: string[], timeoutMs: number, cwd?: string): Promise<CommandResult> => {
    const command = {
      file: program,
      args: ['-c', configuration, ...args],
      env: { LC_ALL: 'C' },
      ...(cwd ? { cwd } : {}),
    };
    const result = await runCommand(command, { timeoutMs, signal });
    signal?.throwIfAborted();
    if (result.code !== 0) throw new AptError(describeFailure(program, command.args, result, suite));
    return result;
  };

  return {
    suite,
    async update(maxAgeMs) {
      const stamp = join(place, 'updated');
      if (existsSync(stamp) && Date.now() - statSync(stamp).mtimeMs < maxAgeMs) return;
      await apt('apt-get', ['-o', 'APT::Update::Error-Mode=any', 'update'], UPDATE_TIMEOUT_MS);
      writeFileSync(stamp, '');
    },
    async packageNames() {
      return (await apt('apt-cache', ['pkgnames'], 60_000)).stdout.split('\n').filter((name) => name !== '');
    },
    async dependsText(roots) {
      return (await apt('apt-cache', ['depends', '--recurse', '--important', ...roots], 60_000)).stdout;
    },
    async files(names) {
      return parsePrintedUris((await apt('apt-get', ['download', '--print-uris', ...names], 60_000)).stdout);
    },
    async download(files, into) {
      mkdirSync(into, { recursive: true });
      const wanted = files.map(({ name, version }) => `${name}=${version}`);
      await apt('apt-get', ['-o', 'Acquire::Retries=2', 'download', ...wanted], DOWNLOAD_TIMEOUT_MS, into);
    },
  };
}

/** The system's configuration (proxies, credentials, certificates) is read first by apt; this comes on top of it. */
export function aptConfiguration(place: string, architecture: string): string {
  return [
    // Hooks of the system's own apt (caches to refresh, services to tell) have no business with these lists.
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Pre-Invoke;',
    '#clear DPkg::Post-Invoke;',
    '#clear APT::Architectures;',
    `APT::Architecture "${architecture}";`,
    `APT::Architectures "${architecture}";`,
    `Dir::State "${place}/state";`,
    `Dir::State::status "${place}/status";`,
    `Dir::Cache "${place}/cache";`,
    // Container images switch this cache off; without it each call parses the lists anew, for a second or more.
    'Dir::Cache::pkgcache "pkgcache.bin";',
    'Dir::Cache::srcpkgcache "srcpkgcache.bin";',
    'Dir::Etc::sourcelist "/dev/null";',
    `Dir::Etc::sourceparts "${place}/sources";`,
    'Dir::Etc::preferences "/dev/null";',
    'Dir::Etc::preferencesparts "/dev/null";',
    'Dir::Log "/dev/null";',
    // As root apt would download as the user _apt, who may not write into this folder.
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'APT::Get::Assume-Yes "true";',
    '',
  ].join('\n');
}

/** Reads every enabled binary source under `etc` (normally /etc/apt). */
export function readSystemSources(etc: string): AptSource[] {
  const sources: AptSource[] = [];
  const list = join(etc, 'sources.list');
  if (existsSync(list)) sources.push(...parseOneLine(readFileSync(list, 'utf8')));
  const parts = join(etc, 'sources.list.d');
  for (const name of existsSync(parts) ? readdirSync(parts).sort() : []) {
    if (name.endsWith('.list')) sources.push(...parseOneLine(readFileSync(join(parts, name), 'utf8')));
    if (name.endsWith('.sources')) sources.push(...parseDeb822(readFileSync(join(parts, name), 'utf8')));
  }
  return sources;
}

/** Parses the lines of `apt-get download --print-uris`: 'URI' name_version_architecture.deb size ALGORITHM:hex. */
export function parsePrintedUris(text: string): PackageFile[] {
  return text.split('\n').flatMap((line) => {
    const match = /^'[^']*' (\S+) (\d+) ([A-Za-z0-9]+):([0-9a-f]+)$/.exec(line.trim());
    if (match === null) return [];
    const [, file = '', bytes = '0', algorithm = '', hex = ''] = match;
    const [name = '', version = ''] = file.split('_');
    return [
      {
        name,
        version: version.replaceAll('%3a', ':'),
        file,
        bytes: Number(bytes),
        hash: { algorithm: algorithm.replace(/Sum$/, '').toLowerCase(), hex },
      },
    ];
  });
}

function describeFailure(program: string, args: readonly string[], result: CommandResult, suite: string): string {
  const lines = `${result.stdout}\n${result.stderr}`
    .split('\n')
    .filter((line) => /^[EW]:|^Err:|ended after|ENOENT/.test(line.trim()));
  const last = (lines.length > 0 ? lines : result.stderr.trim().split('\n'))
    .slice(-6)
    .map((line) => `    ${line.trim()}`);
  return [
    `apt could not get packages of ${suite === 'native' ? 'this release' : `the suite ${suite}`}: \`${program} ${args.join(' ')}\` ended with ${result.code ?? result.signal ?? 'no start'}`,
    ...last,
    '  Check that `apt-get update` works on this machine and run the same command again; what has arrived is kept.',
  ].join('\n');
}

function releaseCodename(): string {
  const release = existsSync('/etc/os-release') ? readFileSync('/etc/os-release', 'utf8') : '';
  return /^VERSION_CODENAME="?([^"\n]*)"?$/m.exec(release)?.[1] ?? 'stable';
}
