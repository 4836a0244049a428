import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type DelayLadder, defaultDelaysMs, delayFor } from './delays.ts';
import { type ConsumerSpec, declarations } from './topology.ts';

const ladder = fc
  .uniqueArray(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 8 })
  .map((delays) => delays.toSorted((a, b) => a - b) as unknown as DelayLadder);

test('a message for later comes back never early at last, and late by less than the shortest wait', () => {
  fc.assert(
    fc.property(ladder, fc.integer({ min: 1, max: 5_000_000 }), (delaysMs, afterMs) => {
      // Time is spent only in the queues, so that this is the least lateness there can be.
      let waitedMs = 0;
      let turns = 0;
      while (waitedMs < afterMs) {
        waitedMs += delayFor(afterMs - waitedMs, delaysMs);
        turns += 1;
        if (turns > afterMs) throw new Error('no end');
      }
      expect(waitedMs).toBeGreaterThanOrEqual(afterMs);
      expect(waitedMs - afterMs).toBeLessThan(delaysMs[0]);
    }),
  );
});

test('a message for in half an hour takes fewer than twenty turns', () => {
  let [leftMs, turns] = [1_800_000, 0];
  for (; leftMs > 0; turns += 1) leftMs -= delayFor(leftMs, defaultDelaysMs);
  expect(turns).toBeLessThan(20);
});

test('queues of later are declared beside the others, each with its wait, and only where there is no order', () => {
  const consumer: ConsumerSpec = { name: 'due', patterns: ['#'], order: 'none', delaysMs: [100, 400] };
  const queues = declarations({ exchange: 'outbox', consumers: [consumer] }).flatMap((declared) =>
    declared.kind === 'queue' ? [[declared.name, declared.arguments['x-message-ttl']]] : [],
  );
  expect(queues).toContainEqual(['due.delay.100', 100]);
  expect(queues).toContainEqual(['due.delay.400', 400]);
  const ordered = () => declarations({ exchange: 'outbox', consumers: [{ ...consumer, order: 'by key' }] });
  expect(ordered).toThrow(/expected delays only without order/);
});
