import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { fuzz } from '@strangler/migrations/parity/fuzz/fuzz.ts';
import { type FuzzPair, startFuzzPair } from './fuzz-pair.ts';

let two: FuzzPair;
beforeAll(async () => {
  two = await startFuzzPair('fuzz');
}, 120_000);
afterAll(() => two?.stop());

test('monolith and catalogue answer, store and tell alike, whatever they are sent', async () => {
  const report = await fuzz({
    running: two.running,
    seed: Number(process.env.SEED ?? 1),
    runs: Number(process.env.RUNS ?? 30),
    stepsPerRun: 30,
    withinMs: null,
  });
  console.log(
    report.steps,
    report.runs,
    JSON.stringify(report.coverage, null, 1),
    report.found && JSON.stringify(report.found, null, 1),
  );
  expect(report.found).toBeNull();
}, 600_000);
