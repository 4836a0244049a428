import { expect, test } from '@jest/globals';
import type { Side } from '@strangler/migrations/http/side.ts';
import { fuzz } from '@strangler/migrations/parity/fuzz/fuzz.ts';
import { type FuzzedSlice, slicePairs } from './slices/pairs.ts';

/** Answers of this side say one thing otherwise. */
const otherwise = (side: Side, from: RegExp, to: string): Side => ({
  ...side,
  async send(request) {
    const answer = await side.send(request);
    const text = answer.bytes.toString('utf8').replace(from, to);
    return answer.json === undefined ? answer : { ...answer, bytes: Buffer.from(text), json: JSON.parse(text) };
  },
});

type Fuzzed = {
  slice: FuzzedSlice;
  seed: number;
  /** Sequences of 30 steps at most. */
  runs: number;
  /** What the sequences of this seed must have come to, or they have tried nothing. */
  tried: [operation: string, status: string];
  /** What a service says that is not as the shop is. */
  wrong: [from: RegExp, to: string];
};

// Hundreds of sequences: npm run soak -- --scenario fuzz --slice …
const fuzzed: Fuzzed[] = [
  {
    ...{ slice: 'inventory', seed: 1, runs: 5 },
    tried: ['POST /api/inventory/{productId}/adjustments', '201'],
    wrong: [/"available":/, '"available":1'],
  },
  {
    ...{ slice: 'notifications', seed: 1, runs: 5 },
    tried: ['POST /api/notifications/{id}/read', '200'],
    wrong: [/"unread":/, '"unread":1'],
  },
  {
    ...{ slice: 'payments', seed: 1, runs: 5 },
    tried: ['POST /api/payments/webhooks', '200'],
    wrong: [/"amount_cents":/, '"amount_cents":1'],
  },
  {
    ...{ slice: 'orders', seed: 2, runs: 5 },
    tried: ['POST /api/checkout', '201'],
    wrong: [/"items":\[\]/, '"items":[{"id":1}]'],
  },
];

test.each(fuzzed.map((one) => [one.slice, one] as const))(
  'the %s answer and store alike at the shop and at the service; a service that does not is found',
  async (slice, { seed, runs, tried: [operation, status], wrong }) => {
    const pair = await slicePairs[slice]('fuzzed');
    try {
      const { running } = pair;
      const report = await fuzz({ running, seed, runs, stepsPerRun: 30, withinMs: null });
      expect(report.found?.text).toBeUndefined();
      expect(report.coverage[operation]?.[status]).toBeGreaterThan(0);

      const [left, right] = running.sides;
      const sides = [left, otherwise(right, ...wrong)] as const;
      const faulty = { ...running, sides };
      expect(
        (await fuzz({ running: faulty, seed, runs: 3, stepsPerRun: 30, withinMs: null, mostTries: 0 })).found,
      ).not.toBeNull();

      await running.reset();
      expect(await running.observer.rows()).toEqual([]);
      await pair.spoil();
      expect(await running.observer.rows()).not.toEqual([]);
    } finally {
      await pair.stop();
    }
  },
  180_000,
);
