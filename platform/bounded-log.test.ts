import { expect, test } from '@jest/globals';
import { boundedLog } from './bounded-log.ts';
import { createLog } from './log.ts';

function heard(everyMs: number, nowMs: () => number) {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({
    name: 'test',
    level: 'debug',
    destination: { write: (line: string) => void lines.push(JSON.parse(line)) },
  });
  return { lines, log: boundedLog(log, everyMs, nowMs) };
}

test('of one message one line comes in the given time, and the next tells how many were left out', () => {
  let now = 0;
  const { lines, log } = heard(1000, () => now);
  for (now = 0; now < 2500; now += 100) log.warn({ now }, 'the server is away');
  expect(lines.map(({ now: at, leftOut }) => [at, leftOut])).toEqual([
    [0, undefined],
    [1000, 9],
    [2000, 9],
  ]);
});

test('messages and levels do not stand in for each other, and what is said at other levels is said each time', () => {
  const { lines, log } = heard(1000, () => 0);
  log.warn('one');
  log.error('one');
  log.warn({ err: new Error('why') }, 'two');
  log.info('three');
  log.info({ n: 2 }, 'three');
  expect(lines.map(({ msg }) => msg)).toEqual(['one', 'one', 'two', 'three', 'three']);
});
