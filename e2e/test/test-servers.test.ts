import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { stackHome } from '@strangler/stack/home/paths.ts';
import { identify } from '@strangler/stack/process/identity.ts';
import { createTestServers } from './test-servers.ts';

describe('what is cleared when the tests are over', () => {
  const said: string[] = [];
  const servers = createTestServers({ say: (line) => said.push(line), signal: new AbortController().signal });
  const before = process.env.STACK_HOME;
  let user: ChildProcess;

  /** An instance of a test file, which a process that lives has brought up. */
  const usedInstance = (name: string): string => {
    const folder = stackHome().instance(name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'stack.json'), JSON.stringify({ instance: name, startedBy: identify(user.pid!) }));
    return folder;
  };

  beforeEach(async () => {
    said.length = 0;
    process.env.STACK_HOME = mkdtempSync(join(tmpdir(), 'test-servers-'));
    user = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] });
    await once(user, 'spawn');
  });
  afterEach(() => {
    user.kill('SIGKILL');
    rmSync(process.env.STACK_HOME!, { recursive: true, force: true });
    if (before === undefined) delete process.env.STACK_HOME;
    else process.env.STACK_HOME = before;
  });

  test('is also the instance of an interrupted test file, whose process ends a moment later', async () => {
    const folder = usedInstance('test-interrupted');
    const cleared = servers.clear({ waitMs: 30_000 });
    user.stdin!.end();
    await cleared;
    expect(existsSync(folder)).toBe(false);
    expect(said).toEqual([]);
  });

  test('is never one that somebody goes on using, and it is named', async () => {
    const folder = usedInstance('test-elsewhere');
    await servers.clear({ waitMs: 100 });
    expect(existsSync(folder)).toBe(true);
    expect(said).toEqual(['still in use, and left as they are: test-elsewhere']);
  });

  test('is at the beginning of a run what nobody uses, without a word or a wait', async () => {
    const used = usedInstance('test-elsewhere');
    const left = stackHome().instance('jest-left');
    mkdirSync(left);
    await servers.clear();
    expect([existsSync(used), existsSync(left)]).toEqual([true, false]);
    expect(said).toEqual([]);
  });
});
