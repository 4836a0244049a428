import { tmpdir } from 'node:os';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { openShell, type Shell } from './shell.ts';

let shell: Shell;
beforeEach(() => {
  shell = openShell(tmpdir(), { PATH: process.env.PATH });
});
afterEach(() => shell.close());

const run = (command: string) => shell.run(command, 10_000);

test('variables, functions and exit statuses stay from one command to the next', async () => {
  await run('x=1; f() { echo "f $1"; }');
  expect(await run('f $x')).toEqual({ status: 0, lines: ['f 1'] });
  expect((await run('(exit 3)')).status).toBe(3);
  expect((await run('echo $?')).lines).toEqual(['3']);
});

test('errors come with the output, and a command cannot read what is typed after it', async () => {
  expect(await run('echo out; echo err >&2')).toEqual({ status: 0, lines: ['out', 'err'] });
  expect((await run('cat')).lines).toEqual([]);
});

test('a command that takes too long is told with what it has printed', async () => {
  await expect(shell.run('echo begun; sleep 60', 200)).rejects.toThrow(
    /not done within 0.2 s, so far it printed:\nbegun/,
  );
});
