import { expect, test } from '@jest/globals';
import { askAll, lagThrottle, type Throttle } from './throttle.ts';

const go: Throttle = async () => ({ kind: 'go' });
const wait: Throttle = async () => ({ kind: 'wait', reason: 'busy', waitMs: 10 });

test('all must say go, and the first that does not is told', async () => {
  await expect(askAll([])).resolves.toEqual({ kind: 'go' });
  await expect(askAll([go, go])).resolves.toEqual({ kind: 'go' });
  await expect(askAll([go, wait, go])).resolves.toMatchObject({ kind: 'wait', reason: 'busy' });
});

test('lag is waited for beyond its bound only, with both figures told', async () => {
  await expect(lagThrottle(async () => 1000, 1000)()).resolves.toEqual({ kind: 'go' });
  await expect(lagThrottle(async () => 1500.4, 1000)()).resolves.toMatchObject({
    reason: 'lag of 1500 ms, bound 1000 ms',
  });
});
