/**
 * Keeps package-lock.json whole.
 *
 * npm leaves an optional package out of the lock file when the registry that was used does not have it, as mirrors
 * often do with builds for other systems; `npm ci` then refuses the lock file everywhere. Entries without a hash are
 * enough for it. After adding a package:
 *
 *   node stack/lock-file.mjs
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {{ version?: string, optional?: boolean, os?: string[], cpu?: string[], libc?: string[], optionalDependencies?: Record<string, string> }} LockedPackage
 * @typedef {{ packages: Record<string, LockedPackage> }} LockFile
 */

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const processors = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];

/**
 * The entries that are missing: optional dependencies, of an exact version, of packages that are in the lock file.
 * @param {LockFile} lockFile
 * @returns {Record<string, LockedPackage>}
 */
export function missingOptional(lockFile) {
  /** @type {Record<string, LockedPackage>} */
  const missing = {};
  for (const [path, { optionalDependencies = {} }] of Object.entries(lockFile.packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (!/^\d+\.\d+\.\d+/.test(version) || resolves(lockFile, path, name)) continue;
      missing[`node_modules/${name}`] = { version, optional: true, ...platformOf(name) };
    }
  }
  return missing;
}

/**
 * Whether Node would find `name` from `path`: in its own node_modules or those above it.
 * @param {LockFile} lockFile
 * @param {string} path
 * @param {string} name
 */
function resolves(lockFile, path, name) {
  for (let folder = path; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    if (lockFile.packages[`${folder === '' ? '' : `${folder}/`}node_modules/${name}`] !== undefined) return true;
    if (folder === '') return false;
  }
}

/**
 * What a build's name says of where it runs: `@swc/core-linux-arm-gnueabihf`.
 * @param {string} name
 */
export function platformOf(name) {
  const words = name.split(/[/-]/);
  const os = systems.filter((system) => words.includes(system));
  const cpu = processors.filter((processor) => words.includes(processor)).slice(0, 1);
  const musl = words.some((word) => word.startsWith('musl'));
  const libc = os.includes('linux') ? [musl ? 'musl' : 'glibc'] : [];
  return { ...(os.length > 0 ? { os } : {}), ...(cpu.length > 0 ? { cpu } : {}), ...(libc.length > 0 ? { libc } : {}) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = fileURLToPath(new URL('../package-lock.json', import.meta.url));
  const lockFile = JSON.parse(readFileSync(file, 'utf8'));
  const missing = missingOptional(lockFile);
  const added = Object.keys(missing);
  const entries = Object.entries({ ...lockFile.packages, ...missing }).sort(([a], [b]) => (a < b ? -1 : 1));
  if (added.length > 0) {
    writeFileSync(file, `${JSON.stringify({ ...lockFile, packages: Object.fromEntries(entries) }, undefined, 2)}\n`);
  }
  process.stdout.write(`${added.length === 0 ? 'package-lock.json is whole' : `added ${added.join(', ')}`}\n`);
}
