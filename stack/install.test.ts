import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { agrees, ensureInstalled, isInstalled } from './install.mjs';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'install-'));
  writeFileSync(join(root, 'package-lock.json'), lockFile('1.0.0'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const lockFile = (version: string) =>
  JSON.stringify({ packages: { '': {}, 'node_modules/a': { version, integrity: 'x' } } });

/** Stands in for npm: does to node_modules what `script` says, and counts its runs. */
function installer(script: string): string[] {
  const file = join(root, 'installer.sh');
  const finish =
    'mkdir -p node_modules/node/bin && echo > node_modules/node/bin/node && cp package-lock.json node_modules/.package-lock.json';
  writeFileSync(file, `#!/bin/sh\necho run >> runs\n${script.replace('FINISH', finish)}\n`);
  chmodSync(file, 0o755);
  return [file];
}
const runs = () =>
  existsSync(join(root, 'runs')) ? readFileSync(join(root, 'runs'), 'utf8').trim().split('\n').length : 0;
const quiet = () => {};

describe('the packages', () => {
  test('are installed once, with one line said, and then found', async () => {
    const said: string[] = [];
    const command = installer('FINISH');
    expect(await ensureInstalled(root, { command, say: (line) => said.push(line) })).toBe('installed');
    expect(await ensureInstalled(root, { command, say: (line) => said.push(line) })).toBe('present');
    expect(runs()).toBe(1);
    expect(said).toHaveLength(1);
  });

  test('are installed again when the lock file has changed', async () => {
    const command = installer('FINISH');
    await ensureInstalled(root, { command, say: quiet });
    writeFileSync(join(root, 'package-lock.json'), lockFile('1.0.1'));
    expect(await ensureInstalled(root, { command, say: quiet })).toBe('installed');
    expect(runs()).toBe(2);
  });

  test('that somebody installed with npm by hand are not installed again', async () => {
    mkdirSync(join(root, 'node_modules/node/bin'), { recursive: true });
    writeFileSync(join(root, 'node_modules/node/bin/node'), '');
    writeFileSync(join(root, 'node_modules/.package-lock.json'), lockFile('1.0.0'));
    expect(isInstalled(root)).toBe(true);
  });

  test('of an install that failed half-way are installed by the next run', async () => {
    const broken = installer(
      'mkdir -p node_modules/node/bin && echo > node_modules/node/bin/node && echo no network >&2; exit 7',
    );
    await expect(ensureInstalled(root, { command: broken, say: quiet })).rejects.toThrow(
      /ended with 7[\s\S]*no network[\s\S]*retry/,
    );
    expect(isInstalled(root)).toBe(false);
    expect(await ensureInstalled(root, { command: installer('FINISH'), say: quiet })).toBe('installed');
  });

  test('are installed by one of two runs that start together', async () => {
    const command = installer('sleep 0.3; FINISH');
    const outcomes = await Promise.all([1, 2].map(() => ensureInstalled(root, { command, say: quiet })));
    expect(outcomes.sort()).toEqual(['installed', 'present']);
    expect(runs()).toBe(1);
  });

  test('are installed although a run that died has left its lock behind', async () => {
    mkdirSync(join(root, '.stack'));
    writeFileSync(join(root, '.stack/install.lock'), '4194304 12345');
    expect(await ensureInstalled(root, { command: installer('FINISH'), say: quiet })).toBe('installed');
    expect(existsSync(join(root, '.stack/install.lock'))).toBe(false);
  });

  test('without the pinned Node are reported, with what to do', async () => {
    const command = installer('mkdir -p node_modules; cp package-lock.json node_modules/.package-lock.json');
    await expect(ensureInstalled(root, { command, say: quiet })).rejects.toThrow('npm rebuild node');
  });
});

test.each([
  ['the same version', { 'node_modules/a': { version: '1', integrity: 'x' } }, true],
  ['another version', { 'node_modules/a': { version: '2', integrity: 'x' } }, false],
  ['the same version with other content', { 'node_modules/a': { version: '1', integrity: 'y' } }, false],
  ['nothing', {}, false],
])('where npm has recorded %s, agreement is told as it is', (_what, packages, expected) => {
  const wanted = {
    packages: {
      '': {},
      platform: {},
      'node_modules/a': { version: '1', integrity: 'x' },
      'node_modules/for-another-system': { version: '1', optional: true },
    },
  };
  expect(agrees(wanted, { packages })).toBe(expected);
});
