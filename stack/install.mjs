/**
 * Makes sure that node_modules holds what package-lock.json asks for.
 *
 * A stamp (the lock file's hash) in node_modules answers the usual case in a millisecond. Where it is missing or
 * old, npm's own record of what it installed is compared with the lock file, so that an `npm install` done by hand
 * is not done again. Only then is `npm ci` run. npm writes its record last, so an install that was cut short never
 * looks finished.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const STAMP = 'node_modules/.strangler-lock';
const NPM_RECORD = 'node_modules/.package-lock.json';
const PINNED_NODE = 'node_modules/node/bin/node';
const INSTALL_WAIT_MS = 15 * 60_000;

/**
 * @param {string} root the repository's folder
 * @param {{ command?: string[], say?: (line: string) => void, waitMs?: number }} [options]
 */
export async function ensureInstalled(root, options = {}) {
  const say = options.say ?? ((line) => process.stderr.write(`${line}\n`));
  const command = options.command ?? ['npm', 'ci', '--no-audit', '--no-fund', '--loglevel=error'];
  if (isInstalled(root)) return 'present';

  const release = await lock(join(root, '.stack', 'install.lock'), options.waitMs ?? INSTALL_WAIT_MS, say);
  try {
    if (isInstalled(root)) return 'present';
    say(`installing the packages of package-lock.json (${command.slice(0, 2).join(' ')}); once, a minute or so`);
    const { code, output } = await run(command, root);
    if (code !== 0) {
      // npm says what is wrong first, and then how it is used in general.
      const tail = output.trim().split('\n').slice(0, 10).join('\n  ');
      throw new Error(
        `the packages could not be installed: \`${command.join(' ')}\` ended with ${code}\n  ${tail}\nrun the same command again to retry`,
      );
    }
    writeStamp(root);
    if (!isInstalled(root)) {
      throw new Error(
        `\`${command.join(' ')}\` succeeded, but ${PINNED_NODE} is not there; if npm is set to ignore install scripts (npm config get ignore-scripts), run: npm rebuild node`,
      );
    }
    return 'installed';
  } finally {
    release();
  }
}

/** @param {string} root */
export function isInstalled(root) {
  if (!existsSync(join(root, PINNED_NODE))) return false;
  const wanted = readFileSync(join(root, 'package-lock.json'), 'utf8');
  if (read(join(root, STAMP)) === hash(wanted)) return true;
  const record = read(join(root, NPM_RECORD));
  if (record === undefined || !agrees(JSON.parse(wanted), JSON.parse(record))) return false;
  writeStamp(root);
  return true;
}

/**
 * Whether npm's record of an install holds every package of the lock file, in its version. Optional packages may be
 * missing: they belong to other platforms.
 * @param {{ packages: Record<string, { version?: string, integrity?: string, optional?: boolean, devOptional?: boolean, link?: boolean }> }} lockFile
 * @param {{ packages: Record<string, { version?: string, integrity?: string }> }} record
 */
export function agrees(lockFile, record) {
  return Object.entries(lockFile.packages).every(([path, wanted]) => {
    if (!path.includes('node_modules/')) return true;
    const found = record.packages[path];
    if (found === undefined) return wanted.optional === true || wanted.devOptional === true;
    return found.version === wanted.version && found.integrity === wanted.integrity;
  });
}

/** @param {string} root */
function writeStamp(root) {
  const wanted = readFileSync(join(root, 'package-lock.json'), 'utf8');
  const temporary = join(root, `${STAMP}.${process.pid}`);
  writeFileSync(temporary, hash(wanted));
  renameSync(temporary, join(root, STAMP));
}

/** @param {string} text */
function hash(text) {
  return createHash('sha256').update(text).digest('hex');
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/**
 * @param {string[]} command
 * @param {string} cwd
 * @returns {Promise<{ code: number, output: string }>}
 */
function run([program = 'npm', ...args], cwd) {
  return new Promise((resolve, reject) => {
    // npm's configuration of the script that called us (npm_config_*) would otherwise reach into this install.
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|command|execpath)/.test(name)),
    );
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output = (output + chunk).slice(-20_000);
      });
    }
    child.on('error', (error) => reject(new Error(`${program} could not be started: ${error.message}`)));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/**
 * A lock file that holds its owner's pid and start time: the lock of a process that is gone, or whose pid went to
 * another, does not count.
 * @param {string} file
 * @param {number} waitMs
 * @param {(line: string) => void} say
 */
async function lock(file, waitMs, say) {
  const mine = `${process.pid} ${startTime(process.pid)}`;
  const temporary = `${file}.${process.pid}`;
  const deadline = Date.now() + waitMs;
  let told = false;
  mkdirSync(join(file, '..'), { recursive: true });
  for (;;) {
    writeFileSync(temporary, mine);
    try {
      linkSync(temporary, file);
      unlinkSync(temporary);
      return () => {
        if (read(file) === mine) unlinkSync(file);
      };
    } catch (error) {
      unlinkSync(temporary);
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    }
    const holder = read(file);
    const [pid = '', started = ''] = (holder ?? '').split(' ');
    if (holder !== undefined && startTime(Number(pid)) !== started) {
      removeIfStill(file, holder);
      continue;
    }
    if (Date.now() > deadline) {
      throw new Error(`process ${pid} has been installing packages for long; end it, or remove ${file}, and run again`);
    }
    if (!told) say(`waiting for process ${pid}, which is installing packages`);
    told = true;
    await sleep(250);
  }
}

/**
 * Takes a dead owner's lock away, but not the one that somebody else has put there since it was read.
 * @param {string} file
 * @param {string} content
 */
function removeIfStill(file, content) {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
    if (read(aside) !== content) linkSync(aside, file);
    unlinkSync(aside);
  } catch {
    // Somebody else was quicker; the next round sees what there is now.
  }
}

/** @param {number} pid */
function startTime(pid) {
  const stat = read(`/proc/${pid}/stat`);
  if (stat !== undefined) return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '?';
  if (existsSync('/proc/self/stat')) return 'gone';
  try {
    process.kill(pid, 0);
    return 'alive';
  } catch {
    return 'gone';
  }
}
