import { createHash, randomBytes } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type StackHome, writeWhole } from '../home/paths.ts';
import { withLock } from '../process/lock.ts';
import { runCommand } from '../process/run.ts';
import { hasApt, type PackageFile, type PrivateApt, privateApt } from './apt.ts';
import { chooseClosure, parseDepends } from './closure.ts';
import { keeps, type PackageChoice, type PackageSet } from './sets.ts';

/** A set of packages that lies unpacked and complete in `folder`. */
export type UnpackedSet = {
  folder: string;
  /** The server's program, absolute. */
  program: string;
  version: string;
  loader: PackageChoice['loader'];
};

type Marker = {
  set: string;
  suite: string;
  loader: PackageChoice['loader'];
  version: string;
  packages: { name: string; version: string; hash: string }[];
};

export class PackageError extends Error {
  override name = 'PackageError';
}

const MARKER = 'unpacked.json';
const LISTS_MAX_AGE_MS = 60 * 60_000;
const LOCK_WAIT_MS = 15 * 60_000;
// biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own placeholders
const INSTALLED_FORMAT = '${db:Status-Status} ${Package}\n';

export type UnpackOptions = { home: StackHome; say: (line: string) => void; signal?: AbortSignal | undefined };

/** The set as it was unpacked earlier; undefined when it was not, or not completely. */
export function findUnpacked(home: StackHome, set: PackageSet): UnpackedSet | undefined {
  const folder = join(home.packages, set.name);
  try {
    const marker = JSON.parse(readFileSync(join(folder, MARKER), 'utf8')) as Marker;
    const program = globSync(set.program, { cwd: folder })[0];
    if (program === undefined) return undefined;
    return { folder, program: join(folder, program), version: marker.version, loader: marker.loader };
  } catch {
    return undefined;
  }
}

/**
 * Makes the set available under the stack's folder: what is there is reused, what is missing is downloaded and
 * unpacked. Nothing of the system is changed, and no right beyond writing to that folder is needed.
 * Throws PackageError when the set is not to be had.
 */
export async function ensureUnpacked(set: PackageSet, options: UnpackOptions): Promise<UnpackedSet> {
  const ready = findUnpacked(options.home, set);
  if (ready !== undefined) return ready;
  const lock = join(options.home.packages, `${set.name}.lock`);
  const onWait = (holder: { pid: number }) =>
    options.say(`waiting for process ${holder.pid}, which is unpacking ${set.name}`);
  return await withLock(
    lock,
    { waitMs: LOCK_WAIT_MS, what: `unpacking ${set.name}`, onWait, signal: options.signal },
    async () => {
      const meanwhile = findUnpacked(options.home, set);
      return meanwhile ?? (await downloadAndUnpack(set, options));
    },
  );
}

async function downloadAndUnpack(set: PackageSet, options: UnpackOptions): Promise<UnpackedSet> {
  const { home, say, signal } = options;
  if (!(await hasApt())) {
    throw new PackageError(
      `${set.name} is neither installed nor reachable by Docker, and this machine has no apt to unpack it with`,
    );
  }
  const { apt, choice, root } = await findChoice(set, options);
  const present = choice.loader === 'system' ? await installedPackages() : new Set<string>();
  const names = chooseClosure(parseDepends(await apt.dependsText([root])), [root], {
    keep: (name) => keeps(set, name),
    present,
  });
  const files = await apt.files(names);
  const missingNames = names.filter((name) => !files.some((file) => file.name === name));
  if (missingNames.length > 0)
    throw new PackageError(`apt names no file for ${missingNames.join(', ')} (needed by ${root})`);
  const megabytes = Math.round(files.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6);
  if (megabytes > set.atMostMegabytes) {
    throw new PackageError(
      `${set.name} would need ${megabytes} MB of packages, more than the ${set.atMostMegabytes} MB that are expected at most: ${names.join(' ')}`,
    );
  }
  const version = upstreamVersion(files.find(({ name }) => name === root)?.version ?? '?');
  await fetchMissing(apt, files, { home, set, say, signal });
  await unpackAll(files, { set, suite: choice.suite, loader: choice.loader, version }, options);
  const unpacked = findUnpacked(home, set);
  if (unpacked === undefined)
    throw new PackageError(`the packages of ${set.name} hold no ${set.program}; found: ${names.join(' ')}`);
  return unpacked;
}

/** The first choice whose package exists. The lists of a suite are fetched only when it comes to it. */
async function findChoice(set: PackageSet, { home, say, signal }: UnpackOptions) {
  const faults: string[] = [];
  for (const choice of set.choices) {
    const result = await withLock(
      join(home.apt, `${choice.suite}.lock`),
      { waitMs: LOCK_WAIT_MS, what: `apt's lists of ${choice.suite}`, signal },
      async () => {
        const apt = await privateApt(home.apt, choice.suite, signal);
        await apt.update(LISTS_MAX_AGE_MS);
        const matching = (await apt.packageNames()).filter((name) => choice.root.test(name)).sort(byNumbers);
        // pkgnames also lists names that are merely referred to; only a package with a file can be taken.
        for (const root of matching.reverse()) {
          const file = await apt.files([root]).catch(() => []);
          if (file.length > 0) return { apt, choice, root };
        }
        return undefined;
      },
    ).catch((error: Error) => {
      signal?.throwIfAborted();
      faults.push(error.message);
      return undefined;
    });
    if (result !== undefined) return result;
  }
  say(`${set.name}: no package to be had`);
  throw new PackageError([`no Debian package of ${set.name} is to be had here`, ...faults].join('\n  '));
}

async function fetchMissing(
  apt: PrivateApt,
  files: PackageFile[],
  { home, set, say, signal }: UnpackOptions & { set: PackageSet },
): Promise<void> {
  mkdirSync(home.downloads, { recursive: true });
  const missing: PackageFile[] = [];
  for (const file of files) {
    const place = join(home.downloads, file.file);
    if (!existsSync(place)) missing.push(file);
    else if (!(await isWhole(place, file))) {
      say(`${set.name}: ${file.file} is broken and is downloaded again`);
      rmSync(place, { force: true });
      missing.push(file);
    }
  }
  if (missing.length === 0) return;
  const megabytes = (missing.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6).toFixed(1);
  say(`${set.name}: downloading ${missing.length} Debian packages, ${megabytes} MB`);
  const temporary = join(home.downloads, `part-${set.name}-${process.pid}-${randomBytes(3).toString('hex')}`);
  try {
    const failure = await apt.download(missing, temporary).then(
      () => undefined,
      (error: Error) => error,
    );
    // What arrived whole is kept even when something else failed, so that a retry has less to do.
    const absent: string[] = [];
    for (const file of missing) {
      const arrived = join(temporary, file.file);
      if (existsSync(arrived) && (await isWhole(arrived, file))) renameSync(arrived, join(home.downloads, file.file));
      else absent.push(`${file.name} ${file.version}`);
    }
    signal?.throwIfAborted();
    if (absent.length > 0) {
      throw new PackageError(
        `${set.name}: the download of ${absent.join(', ')} failed\n  ${failure?.message ?? 'the files that arrived do not have the size and hash that apt expects; run the same command again'}`,
      );
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** Unpacks into a folder beside the final one and renames it: the final one is complete or is not there. */
async function unpackAll(
  files: PackageFile[],
  marker: { set: PackageSet; suite: string; loader: PackageChoice['loader']; version: string },
  { home, signal }: UnpackOptions,
): Promise<void> {
  const { set } = marker;
  const folder = join(home.packages, set.name);
  for (const name of existsSync(home.packages) ? readdirSync(home.packages) : []) {
    if (name.startsWith(`${set.name}.part-`)) rmSync(join(home.packages, name), { recursive: true, force: true });
  }
  const temporary = join(home.packages, `${set.name}.part-${process.pid}`);
  mkdirSync(temporary, { recursive: true });
  try {
    for (const file of files) {
      const result = await runCommand(
        { file: 'dpkg-deb', args: ['-x', join(home.downloads, file.file), temporary] },
        { timeoutMs: 120_000, signal },
      );
      signal?.throwIfAborted();
      if (result.code !== 0) {
        rmSync(join(home.downloads, file.file), { force: true });
        throw new PackageError(
          `${set.name}: ${file.file} could not be unpacked: ${result.stderr.trim().split('\n').at(-1)}; run the same command again (it will be downloaded anew; is the disk full?)`,
        );
      }
    }
    const content: Marker = {
      set: set.name,
      suite: marker.suite,
      loader: marker.loader,
      version: marker.version,
      packages: files.map(({ name, version, hash }) => ({ name, version, hash: `${hash.algorithm}:${hash.hex}` })),
    };
    writeWhole(join(temporary, MARKER), `${JSON.stringify(content, undefined, 2)}\n`, 0o644);
    rmSync(folder, { recursive: true, force: true });
    renameSync(temporary, folder);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

async function isWhole(place: string, file: PackageFile): Promise<boolean> {
  if (statSync(place).size !== file.bytes) return false;
  const hash = createHash(file.hash.algorithm);
  await pipeline(createReadStream(place), hash);
  return hash.digest('hex') === file.hash.hex;
}

async function installedPackages(): Promise<Set<string>> {
  const result = await runCommand({ file: 'dpkg-query', args: ['-W', '-f', INSTALLED_FORMAT] }, { timeoutMs: 30_000 });
  const installed = result.stdout.split('\n').filter((line) => line.startsWith('installed '));
  return new Set(installed.map((line) => line.slice('installed '.length)));
}

/** `5:7.0.15-1~deb12u7` → `7.0.15`: what the project itself calls this version. */
export function upstreamVersion(version: string): string {
  return /^(?:\d+:)?(\d[\d.]*\d|\d)/.exec(version)?.[1] ?? version;
}

const byNumbers = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true });
