import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { fuzz } from '@strangler/migrations/parity/fuzz/fuzz.ts';
import { loadScenario } from '@strangler/migrations/parity/scenario.ts';
import { parityMatchers } from '@strangler/migrations/parity/to-answer-like.ts';
import { findFault } from '../soak/fuzz/find-fault.ts';
import { type FuzzPair, startFuzzPair } from './fuzz-pair.ts';

expect.extend(parityMatchers);

let two: FuzzPair;
beforeAll(async () => {
  two = await startFuzzPair('fuzz');
}, 300_000);
afterAll(() => two?.stop());
beforeEach(() => two.running.reset());

test('monolith and catalogue answer, store and tell alike what they are sent at random', async () => {
  const report = await fuzz({ running: two.running, seed: 11, runs: 12, stepsPerRun: 25, withinMs: 6_000 });
  expect(report.found?.text).toBeUndefined();
  expect(report.steps).toBeGreaterThan(10);
}, 300_000);

// All of them: npm run soak -- --scenario fuzz
test.each(['weak-etag', 'time-not-kept'])(
  'a catalogue with the fault %s is told from the monolith, by a sequence that shows it again',
  async (fault) => {
    const found = await findFault(two, fault, { seed: 3, runs: 100, withinMs: 30_000 });
    expect(found).toMatchObject({ fault, outcome: 'found' });
    expect(found.steps).toBeLessThanOrEqual(6);
  },
  90_000,
);

const folder = join(import.meta.dirname, 'scenarios/found');
test.each(readdirSync(folder))('what the fuzzer once found is mended: %s', async (file) => {
  const { running } = two;
  await expect(await loadScenario(join(folder, file))).toRunAlike(running, running.tokens);
});
