import { expect, test } from '@jest/globals';
import { createLog } from '../log.ts';
import { createCacheLink } from './cache-link.ts';

function link(answers: (string | undefined | Error)[], ready = true) {
  let nowMs = 0;
  let asked = 0;
  const made = createCacheLink({
    redis: {
      ready: () => ready,
      run: async <T>() => {
        const answer = answers[asked++];
        if (answer instanceof Error) throw answer;
        return answer as T | undefined;
      },
    },
    log: createLog({ name: 'test', level: 'silent' }),
    failuresToOpen: 3,
    openMs: 1000,
    now: () => nowMs,
  });
  return {
    ask: () => made.run(async () => 'unused'),
    asked: () => asked,
    advance: (ms: number) => {
      nowMs += ms;
    },
  };
}

test('after three commands without an answer nobody waits, and then one tries', async () => {
  const { ask, asked, advance } = link([undefined, undefined, undefined, undefined, 'yes', 'yes']);
  for (let n = 0; n < 10; n += 1) expect(await ask()).toBeUndefined();
  expect(asked()).toBe(3);
  advance(1000);
  for (let n = 0; n < 10; n += 1) expect(await ask()).toBeUndefined();
  expect(asked()).toBe(4);
  advance(1000);
  expect([await ask(), await ask()]).toEqual(['yes', 'yes']);
});

test('while one tries the others do not wait', async () => {
  const { ask, asked, advance } = link([undefined, undefined, undefined, 'yes', 'yes']);
  for (let n = 0; n < 3; n += 1) await ask();
  advance(1000);
  expect(await Promise.all([ask(), ask(), ask()])).toEqual(['yes', undefined, undefined]);
  expect(asked()).toBe(4);
});

test('a connection that is lost is not asked and opens nothing', async () => {
  const { ask, asked } = link(['yes'], false);
  expect(await ask()).toBeUndefined();
  expect(asked()).toBe(0);
});

test('what Redis says of a wrong command is no failure of the request', async () => {
  const { ask } = link([new Error('WRONGTYPE'), 'yes']);
  expect([await ask(), await ask()]).toEqual([undefined, 'yes']);
});
