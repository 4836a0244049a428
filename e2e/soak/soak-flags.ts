import { pause } from '@strangler/platform/backoff.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { atLeast, atMost, type Bound } from '../demo/bounds.ts';
import type { Progress } from '../demo/progress.ts';
import { expectHealthy, flipReads, workersOf } from '../demo/proxies.ts';
import { openShop } from '../demo/shop.ts';
import { inviteShoppers } from '../demo/shoppers.ts';
import { startCrowd } from '../traffic/crowd.ts';
import { seededRandom } from '../traffic/random.ts';
import { createTally } from '../traffic/tally.ts';
import { visitorConnections } from '../traffic/visitor.ts';
import { crashed, type Fault, frozen, killed, stalled, together } from './faults.ts';

export type SoakOptions = {
  instance: string;
  /** The same seed makes the same faults in the same order. */
  seed: number;
  /** How many faults, one after the other. */
  faults: number;
  requestsPerSecond: number;
  products: number;
  progress: Progress;
  signal: AbortSignal;
};

export type SoakReport = {
  ok: boolean;
  bounds: Bound[];
  seed: number;
  faults: string[];
  requests: { total: number; failed: number };
  failures: { action: string; failure: string }[];
};

/** How long a fault lasts, and how long there is peace after it: between these, by the seed. */
const faultMs = { least: 1000, most: 4000 };
const peaceMs = 500;

/**
 * Shoppers at a steady rate while instances are killed, Redis and Consul freeze and crash, and reads are flipped about at
 * random. Whatever happens to them, no request may fail: there is always somebody who can answer.
 */
export const soakFlags = async (options: SoakOptions): Promise<SoakReport> => {
  const { instance, seed, faults: count, requestsPerSecond, products, progress, signal } = options;
  const random = seededRandom(seed);
  const shop = await openShop({ instance, products, keep: false, progress, signal });
  const connections = visitorConnections();
  const { store, close } = openFlagStore(shop.flagStore, { log: createLog({ name: 'soak', level: 'silent' }) });
  const keeper = createTally();
  const happened: string[] = [];
  try {
    const shoppers = await inviteShoppers(shop, { accounts: 8, anonymous: 32, random, dispatcher: connections });
    const [first, second] = shop.catalogInstances.map(killed) as [Fault, Fault];
    const [firstStalled, secondStalled] = shop.catalogInstances.map(stalled) as [Fault, Fault];
    const choices: (() => Fault)[] = [
      () => first,
      () => second,
      () => together(first, second),
      () => frozen(instance, 'redis'),
      () => crashed(instance, 'redis'),
      () => frozen(instance, 'consul'),
      () => crashed(instance, 'consul'),
      () => together(first, crashed(instance, 'redis')),
      () => firstStalled,
      () => together(firstStalled, secondStalled),
    ];
    const crowd = startCrowd({ shoppers, requestsPerSecond, onVisit: keeper.add, random });
    try {
      for (let turn = 0; turn < count; turn += 1) {
        const percent = Math.floor(random() * 101);
        await flipReads(store, shop.adminUrls, percent, `turn ${turn + 1}`);
        // Every kind of fault comes before one comes again.
        const fault = choices[(turn + seed) % choices.length]!();
        happened.push(fault.name);
        await fault.begin();
        await pause(faultMs.least + random() * (faultMs.most - faultMs.least), signal);
        await fault.end();
        await eventually(async () => expectHealthy(await workersOf(shop.adminUrls), 2), { withinMs: 60_000 });
        await pause(peaceMs, signal);
        signal.throwIfAborted();
        const { total, failed } = keeper.tally();
        progress.say(`${fault.name}, reads at ${percent} %: ${total} requests, ${failed} failed so far`);
      }
    } finally {
      await crowd.stop();
    }
  } finally {
    await connections.close();
    close();
    await shop.close();
  }
  const { total, failed, failures } = keeper.tally();
  const bounds = [atMost('failed requests', failed, 0), atLeast('requests', total, count)];
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    seed,
    faults: happened,
    requests: { total, failed },
    failures: failures.map(({ action, failure }) => ({ action, failure })),
  };
};
