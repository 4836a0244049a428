import { expect, test } from '@jest/globals';
import { hearEvents, tellListener, undoneWhereItFails } from './told-events.ts';

const tell = (key: string) => tellListener({ type: 'a.b', key, payload: {} });
const later = () => new Promise((resolve) => setImmediate(resolve));

test('whoever listens hears what is told meanwhile, and nothing of what others do', async () => {
  const heard = (first: string) =>
    hearEvents(async (events) => {
      tell(first);
      await later();
      tell(`${first}2`);
      return events.map(({ key }) => key);
    });
  expect(await Promise.all([heard('x'), heard('y')])).toEqual([
    ['x', 'x2'],
    ['y', 'y2'],
  ]);
});

test('what a transaction told that failed and was run again is heard once', async () => {
  const keys = await hearEvents(async (events) => {
    tell('before');
    for (const attempt of [1, 2]) {
      await undoneWhereItFails(async () => {
        tell('changed');
        await later();
        if (attempt === 1) throw new Error('deadlock');
      }).catch(() => {});
    }
    return events.map(({ key }) => key);
  });
  expect(keys).toEqual(['before', 'changed']);
});

test('without anybody who listens nothing is kept', async () => {
  tell('nobody');
  await expect(undoneWhereItFails(async () => 7)).resolves.toBe(7);
});
