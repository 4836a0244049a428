import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { writeNpmShims } from './npm-shims.ts';
import { openShell, type Shell } from './shell.ts';

let folder: string;
let shell: Shell;

const program = (path: string, text: string): void => {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), `#!/bin/bash\n${text}\n`, { mode: 0o755 });
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'npm-shims-'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ scripts: { start: 'begin now' } }));
  for (const name of ['npm', 'npx']) program(`own/${name}`, `printf '<%s>' ${name} "$@"; echo; exit 3`);
  program('node_modules/.bin/strangler', `printf '<%s>' here "$@"; echo; exit 4`);
  program('node_modules/.bin/begin', `printf '<%s>' begun "$@"; echo`);
  const path = `${join(folder, 'own')}:${process.env.PATH}`;
  writeNpmShims(join(folder, 'shims'), { repository: folder, path });
  shell = openShell(folder, { PATH: `${join(folder, 'shims')}:${path}` });
});
afterEach(async () => {
  await shell.close();
  rmSync(folder, { recursive: true });
});

const run = (command: string) => shell.run(command, 10_000);

test("a command goes through npm's own the first time, and then straight to what that would run, words and status kept", async () => {
  expect(await run('npx strangler flag "a b"')).toEqual({ status: 3, lines: ['<npx><strangler><flag><a b>'] });
  expect(await run('npx strangler flag "a b"')).toEqual({ status: 4, lines: ['<here><flag><a b>'] });
  expect((await run('npm start --silent -- --env')).lines).toEqual(['<npm><start><--silent><--><--env>']);
  expect((await run('npm start --silent -- --env')).lines).toEqual(['<begun><now><--env>']);
});

test("any other command goes through npm's own each time", async () => {
  for (const command of ['npm start', 'npm run --silent parity', 'npx other', 'npm stop']) {
    const lines = [
      command
        .split(' ')
        .map((word) => `<${word}>`)
        .join(''),
    ];
    expect(await run(command)).toEqual({ status: 3, lines });
    expect(await run(command)).toEqual({ status: 3, lines });
  }
});
