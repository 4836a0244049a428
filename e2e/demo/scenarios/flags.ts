import { pause } from '@strangler/platform/backoff.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { startCrowd } from '../../traffic/crowd.ts';
import { seededRandom } from '../../traffic/random.ts';
import { createTally, spread } from '../../traffic/tally.ts';
import { visitorConnections } from '../../traffic/visitor.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import { expectHealthy, flipReads, workersOf } from '../proxies.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { openShop, type Shop } from '../shop.ts';
import { inviteShoppers } from '../shoppers.ts';

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

const flipBoundMs = 50;

/**
 * The catalogue's reads go 0 → 10 → 50 → 100 → 0 % under traffic; on the way one service instance is killed, then both, and
 * they come back. Nobody may notice.
 */
export const runFlagsScenario = async (options: ScenarioOptions): Promise<FlagsReport> => {
  const { products, instance, keep, progress, signal } = options;
  const shop = await openShop({ instance, products, keep, progress, signal });
  try {
    return await drive(shop, options);
  } finally {
    await shop.close();
  }
};

const drive = async (
  shop: Shop,
  { requestsPerSecond, secondsPerStep, progress, signal }: ScenarioOptions,
): Promise<FlagsReport> => {
  const { store, close } = openFlagStore(shop.flagStore, { log: createLog({ name: 'demo', level: 'silent' }) });
  const random = seededRandom(42);
  const connections = visitorConnections();
  const shoppers = await inviteShoppers(shop, { accounts: 20, anonymous: 40, random, dispatcher: connections });
  const keeper = createTally();
  const flipMs: number[] = [];
  const killed: string[] = [];
  let percent = 0;
  let flips = 0;

  const flipTo = async (next: number, reason: string): Promise<void> => {
    keeper.flipBegins(next >= percent ? 'rises' : 'falls');
    const took = await flipReads(store, shop.adminUrls, next, reason);
    keeper.flipSettled();
    percent = next;
    flips += 1;
    flipMs.push(...took);
    progress.say(
      `reads at ${next} %: ${took.length} workers obeyed within ${Math.max(...took).toFixed(1)} ms (${reason})`,
    );
  };
  const watch = async (): Promise<{ monolith: number; service: number }> => {
    keeper.takeSides();
    await pause(secondsPerStep * 1000, signal);
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
    sides.before = await watch();
    await flipTo(10, 'first users');
    await watch();
    // Many small steps: a rise never moves anyone back, and flips are obeyed at once, however many there are.
    for (let step = 12; step <= 48; step += 2) await flipTo(step, 'a small step');
    await flipTo(50, 'half of them');
    sides.half = await watch();

    const [first, second] = shop.catalogInstances;
    first!.kill('SIGKILL');
    killed.push(first!.name);
    progress.say(`killed -9 ${first!.name}: the other instance answers`);
    sides.oneKilled = await watch();

    await flipTo(100, 'everybody');
    await watch();
    second!.kill('SIGKILL');
    killed.push(second!.name);
    progress.say(`killed -9 ${second!.name} too: the monolith answers reads again`);
    sides.bothKilled = await watch();

    await Promise.all([first!.restart(), second!.restart()]);
    progress.say('both are started again');
    await eventually(async () => expectHealthy(await workersOf(shop.adminUrls), 2), { withinMs: 30_000 });
    sides.back = await watch();

    await flipTo(0, 'all the way back');
    sides.after = await watch();
  } finally {
    await crowd.stop();
    await connections.close();
    close();
  }
  return report({ tally: keeper.tally(), flipMs, flips, killed, sides });
};

type Measured = {
  tally: ReturnType<ReturnType<typeof createTally>['tally']>;
  flipMs: number[];
  flips: number;
  killed: string[];
  sides: Record<string, { monolith: number; service: number }>;
};

const report = ({ tally, flipMs, flips, killed, sides }: Measured): FlagsReport => {
  const figures = spread(flipMs);
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
    latencyMs: spread(tally.durationsMs),
    failures: tally.failures.map(({ action, failure }) => ({ action, failure })),
  };
};
