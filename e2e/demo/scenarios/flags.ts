import { pause } from '@strangler/platform/backoff.ts';
import { proxyStatusPath, proxyStatusSchema, type WorkerStatus } from '@strangler/platform/contracts/proxy-status.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { startCrowd } from '../../traffic/crowd.ts';
import { seededRandom } from '../../traffic/random.ts';
import { shopperConnections } from '../../traffic/shopper.ts';
import { createTally, percentile } from '../../traffic/tally.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import type { Progress } from '../progress.ts';
import { openShop, type Shop } from '../shop.ts';
import { inviteShoppers } from '../shoppers.ts';

export type FlagsOptions = {
  requestsPerSecond: number;
  products: number;
  keep: boolean;
  progress: Progress;
  signal: AbortSignal;
};

export type FlagsReport = {
  ok: boolean;
  bounds: Bound[];
  requests: { total: number; failed: number; reads: number; writes: number };
  flips: number;
  flipMs: { p50: number; p99: number };
  servedBy: { monolith: number; service: number };
  killed: string[];
  stickyMoved: number;
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

const slice = 'catalog';
const flipBoundMs = 50;

/**
 * The catalogue's reads go 0 → 10 → 50 → 100 → 0 % under traffic; on the way one service instance is killed, then both, and
 * they come back. Nobody may notice.
 */
export const runFlagsScenario = async (options: FlagsOptions): Promise<FlagsReport> => {
  const { requestsPerSecond, products, keep, progress, signal } = options;
  const shop = await openShop({ instance: 'demo', products, keep, progress, signal });
  try {
    return await drive(shop, requestsPerSecond, progress, signal);
  } finally {
    await shop.close();
  }
};

const drive = async (
  shop: Shop,
  requestsPerSecond: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<FlagsReport> => {
  const { store, close } = openFlagStore(shop.flagStore, { log: createLog({ name: 'demo', level: 'silent' }) });
  const random = seededRandom(42);
  const connections = shopperConnections();
  const shoppers = await inviteShoppers(shop, { accounts: 40, anonymous: 20, random, dispatcher: connections });
  const keeper = createTally();
  const flipMs: number[] = [];
  const killed: string[] = [];
  let percent = 0;
  let flips = 0;

  const flipTo = async (next: number, reason: string): Promise<void> => {
    keeper.flipBegins(next >= percent ? 'rises' : 'falls');
    const took = await flip(store, shop.adminUrls, next, reason);
    keeper.flipSettled();
    percent = next;
    flips += 1;
    flipMs.push(...took);
    progress.say(
      `reads at ${next} %: ${took.length} workers obeyed within ${Math.max(...took).toFixed(1)} ms (${reason})`,
    );
  };
  const watchFor = async (seconds: number): Promise<{ monolith: number; service: number }> => {
    keeper.takeSides();
    await pause(seconds * 1000, signal);
    signal.throwIfAborted();
    const sides = keeper.takeSides();
    const { total, failed } = keeper.tally();
    progress.say(
      `  answered by monolith ${sides.monolith}, by service ${sides.service}; ${total} requests, ${failed} failed so far`,
    );
    return sides;
  };

  progress.say(
    `${shoppers.length} shoppers, ${requestsPerSecond} requests a second, through ${shop.proxyUrls.length} proxies`,
  );
  const crowd = startCrowd({ shoppers, requestsPerSecond, onVisit: keeper.add, random });
  const sides: Record<string, { monolith: number; service: number }> = {};
  try {
    await flipTo(0, 'where every strangling begins');
    sides.before = await watchFor(3);
    await flipTo(10, 'first users');
    await watchFor(4);
    // Many small steps: a rise never moves anyone back, and flips are obeyed at once, however many there are.
    for (let step = 12; step <= 48; step += 2) await flipTo(step, 'a small step');
    await flipTo(50, 'half of them');
    sides.half = await watchFor(4);

    const [first, second] = shop.catalogInstances;
    first!.kill('SIGKILL');
    killed.push(first!.name);
    progress.say(`killed -9 ${first!.name}: the other instance answers`);
    sides.oneKilled = await watchFor(4);

    await flipTo(100, 'everybody');
    await watchFor(4);
    second!.kill('SIGKILL');
    killed.push(second!.name);
    progress.say(`killed -9 ${second!.name} too: the monolith answers reads again`);
    sides.bothKilled = await watchFor(5);

    await Promise.all([first!.restart(), second!.restart()]);
    progress.say('both are started again');
    await eventually(async () => expectHealthy(await workersOf(shop.adminUrls), 2), { withinMs: 30_000 });
    sides.back = await watchFor(4);

    await flipTo(0, 'all the way back');
    sides.after = await watchFor(3);
  } finally {
    await crowd.stop();
    await connections.close();
    close();
  }
  return report({ tally: keeper.tally(), flipMs, flips, killed, sides });
};

/** Sets the percentage and waits until every worker of every proxy obeys; milliseconds from the write's begin to each worker's obedience. */
const flip = async (
  store: FlagStore,
  adminUrls: readonly string[],
  percent: number,
  reason: string,
): Promise<number[]> => {
  const startedAtMs = performance.timeOrigin + performance.now();
  const { change } = await changeFlag(
    store,
    slice,
    (document) => ({ ...document, reads: { ...document.reads, percent } }),
    { by: 'demo', reason },
  );
  const obeyed = await eventually(async () => {
    const flags = (await workersOf(adminUrls)).map((worker) => worker.flags.find((flag) => flag.slice === slice));
    if (flags.some((flag) => flag?.changeId !== change.id)) throw new Error('a worker does not obey yet');
    return flags.map((flag) => flag!.inForceAtMs - startedAtMs);
  });
  return obeyed;
};

const workersOf = async (adminUrls: readonly string[]): Promise<WorkerStatus[]> => {
  const all = await Promise.all(
    adminUrls.map(async (url) => proxyStatusSchema.parse(await (await fetch(new URL(proxyStatusPath, url))).json())),
  );
  return all.flatMap((proxy) => proxy.workers);
};

const expectHealthy = (workers: readonly WorkerStatus[], count: number): void => {
  for (const { worker, upstreams } of workers) {
    const healthy =
      upstreams.find((one) => one.name === slice)?.instances.filter((one) => one.state === 'healthy').length ?? 0;
    if (healthy < count) throw new Error(`worker ${worker} sees ${healthy} healthy instances, ${count} expected`);
  }
};

type Measured = {
  tally: ReturnType<ReturnType<typeof createTally>['tally']>;
  flipMs: number[];
  flips: number;
  killed: string[];
  sides: Record<string, { monolith: number; service: number }>;
};

const report = ({ tally, flipMs, flips, killed, sides }: Measured): FlagsReport => {
  const figures = { p50: round(percentile(flipMs, 0.5)), p99: round(percentile(flipMs, 0.99)) };
  const bounds = [
    atMost('failed requests', tally.failed, 0),
    atMost('users moved off their side by raising the percentage', tally.stickyMoved, 0),
    atMost('flip obeyed by every worker, median ms', figures.p50, flipBoundMs),
    atMost('slice reads answered by the service at 0 %', (sides.before?.service ?? 0) + (sides.after?.service ?? 0), 0),
    atLeast('slice reads answered by the service at 50 %', sides.half?.service ?? 0, 1),
    atLeast('slice reads answered by the service with one instance killed', sides.oneKilled?.service ?? 0, 1),
    atLeast('slice reads answered by the monolith with both killed', sides.bothKilled?.monolith ?? 0, 1),
    atLeast('slice reads answered by the service after it came back', sides.back?.service ?? 0, 1),
  ];
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    requests: { total: tally.total, failed: tally.failed, reads: tally.reads, writes: tally.writes },
    flips,
    flipMs: figures,
    servedBy: tally.servedBy,
    killed,
    stickyMoved: tally.stickyMoved,
    latencyMs: { p50: round(percentile(tally.durationsMs, 0.5)), p99: round(percentile(tally.durationsMs, 0.99)) },
    failures: tally.failures.map(({ action, failure }) => ({ action, failure })),
  };
};

const round = (value: number): number => Math.round(value * 10) / 10;
