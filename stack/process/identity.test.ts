import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { findByEnvironment, findBySession, hasEnded, identify, isAlive, parseStat, sameProcess } from './identity.ts';

describe('a line of /proc/PID/stat', () => {
  const tail = 'S 1 100 100 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1 1';

  test.each([['(node)'], ['(my server)'], ['(a) b)'], ['((x) S 7)'], ['()']])(
    'with the program %s is read by its last bracket',
    (name) => {
      expect(parseStat(`42 ${name} ${tail}`)).toEqual({
        state: 'S',
        parentPid: 1,
        group: 100,
        session: 100,
        threads: 1,
        startTime: '987654',
      });
    },
  );

  test('that is cut short is no line', () => {
    expect(parseStat('42 (node) S 1')).toBeUndefined();
    expect(parseStat('')).toBeUndefined();
  });
});

test.each([
  ['Z', 0, true],
  ['Z', 1, true],
  ['Z', 7, false],
  ['X', 0, true],
  ['S', 1, false],
  ['T', 4, false],
])('in state %s with %d threads a process has ended: %s', (state, threads, ended) => {
  expect(hasEnded({ state, threads })).toBe(ended);
});

describe('a process', () => {
  test('is the same one as long as it lives, and none once it has ended', async () => {
    const child = spawn('sleep', ['60']);
    const identity = identify(child.pid ?? 0);
    expect(identity).toBeDefined();
    expect(isAlive(identity!)).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isAlive(identity!)).toBe(false);
  });

  test('with the same number but another start is another one', () => {
    const me = identify(process.pid)!;
    expect(sameProcess(me, { ...me })).toBe(true);
    expect(isAlive({ ...me, startTime: '1' })).toBe(false);
    expect(isAlive({ ...me, bootId: 'another boot' })).toBe(false);
  });

  test('is found by what its environment holds, and by its session, also when its parent has gone', async () => {
    const mark = `mark-${process.pid}-${Date.now()}`;
    const leader = spawn('sh', ['-c', 'sleep 60 & echo $!; wait'], {
      detached: true,
      env: { ...process.env, IDENTITY_TEST: mark },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [printed] = (await once(leader.stdout, 'data')) as [Buffer];
    const childPid = Number(printed.toString());
    const identity = identify(leader.pid ?? 0)!;
    // Between fork and exec the child has its parent's memory, of which nothing can be read for a moment.
    await eventually(() => {
      const found = findByEnvironment('IDENTITY_TEST', mark).map(({ pid }) => pid);
      expect(found).toEqual(expect.arrayContaining([leader.pid, childPid]));
    });
    expect(findByEnvironment('IDENTITY_TEST', mark.slice(0, -1))).toEqual([]);

    leader.kill('SIGKILL');
    await once(leader, 'exit');
    expect(findBySession([identity]).map(({ pid }) => pid)).toEqual([childPid]);
    process.kill(childPid, 'SIGKILL');
  });

  test('in a session whose number has gone to another program is left alone', () => {
    const me = identify(process.pid)!;
    expect(findBySession([{ ...me, startTime: '1' }])).toEqual([]);
    expect(findBySession([{ ...me, bootId: 'another boot' }])).toEqual([]);
  });
});
