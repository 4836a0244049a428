import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pause } from '@strangler/platform/backoff.ts';
import type { ShadowGroup, ShadowSummary } from '@strangler/platform/shadow-report/entry.ts';
import { operatorEnvironment } from '@strangler/stack/system/system.ts';
import { atLeast, atMost, type Bound } from '../../demo/bounds.ts';
import { overlaySlices } from '../../demo/overlay-slices.ts';
import type { Progress } from '../../demo/progress.ts';
import { openShop, type Shop } from '../../demo/shop.ts';
import { inviteShoppers, inviteWriters } from '../../demo/shoppers.ts';
import { runStrangler } from '../../demo/strangler.ts';
import { startCrowd } from '../../traffic/crowd.ts';
import { seededRandom } from '../../traffic/random.ts';
import { createTally } from '../../traffic/tally.ts';
import { visitorConnections } from '../../traffic/visitor.ts';

export type SoakShadowOptions = {
  instance: string;
  seed: number;
  minutes: number;
  requestsPerSecond: number;
  products: number;
  progress: Progress;
  signal: AbortSignal;
};

export type SoakShadowReport = {
  ok: boolean;
  bounds: Bound[];
  seed: number;
  requests: { total: number; failed: number };
  outcomes: ShadowSummary['outcomes'];
  /** What the healthy service was blamed for: route, path, kind, how often. */
  falseAlarms: string[];
  /** Memory of the fattest worker of a proxy, after the first minute and at the end. */
  residentMiB: { begin: number; end: number };
  failures: { action: string; failure: string }[];
};

type Compared = ShadowSummary & { groups: ShadowGroup[] };

const slice = 'catalog';
const minuteMs = 60_000;
/** A worker's memory grows while its code is compiled and its pools fill; later on it must not. */
const mayGrow = 1.5;

/** The catalogue, which is healthy, under shoppers and writers, with every request compared: whatever is told of it is a false alarm. */
export const soakShadow = async (options: SoakShadowOptions): Promise<SoakShadowReport> => {
  const { instance, seed, minutes, requestsPerSecond, products, progress, signal } = options;
  const folder = mkdtempSync(join(tmpdir(), 'soak-slices-'));
  const everything = { shadow: { sample: 1, calibrate: 0.1, writes: 'dry-run' } };
  const shop = await openShop({
    ...{ instance, products, stage: 'shadow', keep: false, progress, signal },
    slicesFolder: overlaySlices(folder, { [slice]: everything }),
    // Whoever logs in once goes on to the end.
    env: { monolith: { ACCESS_TOKEN_TTL: `${minutes + 30}m` } },
  });
  const connections = visitorConnections();
  const keeper = createTally();
  const random = seededRandom(seed);
  const command = { environment: operatorEnvironment(shop.system), signal };
  const look = async (): Promise<Compared> => (await runStrangler(['shadow', 'report', slice], command))[0] as Compared;
  try {
    const shared = { random, dispatcher: connections };
    const visitors = [
      ...(await inviteShoppers(shop, { accounts: 10, anonymous: 40, ...shared })),
      ...(await inviteWriters(shop, { merchants: 6, reviewers: 4, ...shared })),
    ];
    const crowd = startCrowd({ shoppers: visitors, requestsPerSecond, onVisit: keeper.add, random });
    const residentMiB = { begin: 0, end: 0 };
    try {
      for (let minute = 1; minute <= minutes; minute += 1) {
        await pause(minuteMs, signal);
        signal.throwIfAborted();
        residentMiB.end = await fattestMiB(shop);
        residentMiB.begin ||= residentMiB.end;
        const { comparisons, outcomes } = await look();
        const { noise, lag, racing, different } = outcomes;
        progress.say(
          `minute ${minute}: ${comparisons} compared, ${lag} behind for a moment, ${racing} racing, ${noise} noise, ${different} different; ${residentMiB.end} MiB`,
        );
      }
    } finally {
      await crowd.stop();
    }
    const { comparisons, outcomes, groups } = await look();
    const falseAlarms = groups.map(({ endpoint, path, kind, count }) => `${endpoint} ${path}: ${kind}, ${count} times`);
    const { total, failed, failures } = keeper.tally();
    const bounds = [
      atMost('failed requests', failed, 0),
      atMost('false alarms', falseAlarms.length, 0),
      atLeast('comparisons', comparisons, Math.round(total / 4)),
      atMost('MiB of the fattest worker', residentMiB.end, Math.round(residentMiB.begin * mayGrow)),
    ];
    return {
      ok: bounds.every((bound) => bound.ok),
      ...{ bounds, seed, outcomes, falseAlarms, residentMiB },
      requests: { total, failed },
      failures: failures.map(({ action, failure }) => ({ action, failure })),
    };
  } finally {
    await connections.close();
    await shop.close();
    rmSync(folder, { recursive: true, force: true });
  }
};

const fattestMiB = async ({ adminUrls, operatorToken }: Shop): Promise<number> => {
  const headers = { authorization: `Bearer ${operatorToken}` };
  const sizes = await Promise.all(
    adminUrls.map(async (url) => {
      const text = await (await fetch(new URL('/metrics', url), { headers })).text();
      return [...text.matchAll(/^process_resident_memory_bytes\S* (\S+)$/gm)].map(([, bytes]) => Number(bytes));
    }),
  );
  const found = sizes.flat();
  if (found.length === 0)
    throw new Error('expected process_resident_memory_bytes in the metrics of the proxies, found none');
  return Math.round(Math.max(...found) / 2 ** 20);
};
