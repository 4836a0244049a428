import { expect, test } from '@jest/globals';
import type { RefusalReason } from '../upstream/upstream.ts';
import type { RepeatedRequest } from './ask.ts';
import type { AskSides } from './ask-sides.ts';
import { createAway } from './away.ts';

const request = {} as RepeatedRequest;

/** Sides that refuse for one reason. */
const refusing = (why: RefusalReason): AskSides => ({
  ask: async () => ({ kind: 'not-asked', why }),
  startDryRun: () => ({ kind: 'not-asked', why }),
});

test('a service that could not be asked is away for a moment, and then one request tries again', async () => {
  let nowMs = 0;
  const { away, sides } = createAway(refusing('circuit-open'), () => nowMs);
  expect(away.get('catalog')).toBeUndefined();
  await sides.ask('service', 'catalog', request);
  expect([away.get('catalog'), away.get('other')]).toEqual(['circuit-open', undefined]);
  nowMs = 99;
  expect(away.get('catalog')).toBe('circuit-open');
  nowMs = 100;
  expect(away.get('catalog')).toBeUndefined();
});

test('a refused dry run says the same of the service', () => {
  const { away, sides } = createAway(refusing('no-instances'), () => 0);
  sides.startDryRun('catalog', request);
  expect(away.get('catalog')).toBe('no-instances');
});

test('a service that only had no room, and a monolith that is away, keep nobody from being sampled', async () => {
  const full = createAway(refusing('bulkhead-full'), () => 0);
  await full.sides.ask('service', 'catalog', request);
  const monolith = createAway(refusing('circuit-open'), () => 0);
  await monolith.sides.ask('monolith', 'catalog', request);
  expect([full.away.get('catalog'), monolith.away.get('catalog')]).toEqual([undefined, undefined]);
});
