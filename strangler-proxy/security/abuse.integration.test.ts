import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AbuseRig, type AttackPlan, formatFigures, openAbuseRig } from './testing/abuse.ts';

let rig: AbuseRig;

beforeAll(async () => {
  rig = await openAbuseRig({
    MAX_CONNECTIONS: '300',
    MAX_IN_FLIGHT: '200',
    HEADERS_TIMEOUT: '2s',
    CLIENT_IDLE_TIMEOUT: '1500ms',
    BODY_RATE_WINDOW: '2s',
    MAX_BODY: '8MiB',
  });
}, 120_000);
afterAll(() => rig?.close());

const usual = { forMs: 800, withinMs: 20_000 };
const plans: AttackPlan[] = [
  // More than there may be: those that ask nothing make room for those that do.
  { ...usual, name: 'idle connections', attack: 'idleConnections', connections: 600, mustCut: 300 },
  { ...usual, name: 'slow heads', attack: 'slowHeads', connections: 250, mustCut: 250 },
  { ...usual, name: 'header floods', attack: 'headerFloods', connections: 50, mustCut: 50 },
  { ...usual, name: 'endless bodies', attack: 'endlessBodies', connections: 20, mustCut: 20 },
  { ...usual, forMs: 2_000, name: 'slow readers', attack: 'slowReaders', connections: 5, mustCut: 'released' },
  // One byte in 200 ms: within the bound on silence, below the bound on pace.
  { ...usual, name: 'slow bodies', attack: 'slowBodies', connections: 100, mustCut: 100 },
  // Five times as many requests as may be under way: each that stayed in flight would be one that nobody else gets.
  { ...usual, name: 'abandoned pipelines', attack: 'abandonedPipelines', connections: 250, mustCut: 250 },
];

test.each(plans.map((plan) => [plan.name, plan] as const))(
  'whoever is honest is served beside %s, which are closed, in bounded memory',
  async (_name, plan) => {
    const figures = await rig.run(plan);
    process.stderr.write(`${formatFigures(figures)}\n`);
    expect(figures.during.failed).toBe(0);
    expect(figures.during.requests).toBeGreaterThan(0);
    expect(figures.cutAfterMs).not.toBeNull();
    // All of it is on one machine: most of this is the attacker's own work.
    expect(figures.during.p99Ms).toBeLessThan(5_000);
    expect(figures.residentMiB.highest - figures.residentMiB.before).toBeLessThan(200);
  },
  90_000,
);

test('what was done against them stands in the metrics', async () => {
  expect(await rig.metric('http_connections_evicted_total')).toBeGreaterThan(100);
  expect(await rig.metric('http_client_errors_total{server="proxy",status="408"')).toBeGreaterThan(0);
  expect(await rig.metric('http_client_errors_total{server="proxy",status="431"')).toBeGreaterThan(0);
  const metrics = await rig.proxy.metrics();
  for (const outcome of [
    'failed-client-stalled-request',
    'broken-client-stalled-response',
    'failed-client-body-too-large',
  ]) {
    expect(metrics).toContain(`outcome="${outcome}"`);
  }
});
