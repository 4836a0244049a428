import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import { pause } from '@strangler/platform/backoff.ts';
import { canaryAuthor } from '@strangler/platform/contracts/canary.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { createLog } from '@strangler/platform/log.ts';
import type { ShadowGroup, ShadowSummary } from '@strangler/platform/shadow-report/entry.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { operatorEnvironment } from '@strangler/stack/system/system.ts';
import type { Dispatcher } from 'undici';
import { startCrowd } from '../../traffic/crowd.ts';
import { seededRandom } from '../../traffic/random.ts';
import { createTally, spread } from '../../traffic/tally.ts';
import { type Visit, visitorConnections } from '../../traffic/visitor.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import { faultText, faultyCatalogue, isSeenAt, plantFault } from '../compare/planted-fault.ts';
import { overlaySlices } from '../overlay-slices.ts';
import type { ScenarioOptions } from '../scenario-options.ts';
import { openShop, type Shop } from '../shop.ts';
import { inviteShoppers, inviteWriters, logInAdmin } from '../shoppers.ts';
import { runStrangler, StranglerError } from '../strangler.ts';

export type CompareReport = {
  ok: boolean;
  bounds: Bound[];
  requests: { total: number; failed: number };
  /** Of the healthy service. */
  mismatches: { compared: number; noise: number; lag: number; unexplained: number };
  /** Planted faults that the comparison has found, with the path that it names. */
  caught: { fault: string; path: string; afterMs: number }[];
  /** From the moment at which a fault was planted until the canary had taken its users back. */
  stepBackMs: number;
  /** Requests that the service has answered after the canary's step back was obeyed. */
  servedAfterStepBack: number;
  /** Groups of differences that the healthy service was blamed for. */
  falseAlarms: number;
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

const slice = 'catalog';
/**
 * Gates that somebody who watches can wait for. A canary of some fifty users begins with a quarter of them, or it might
 * begin with nobody.
 */
const watchable = {
  shadow: { sample: 1, calibrate: 0.2, writes: 'dry-run' },
  gates: {
    shadow: { samples: 300, mismatches: 0, perCell: 3 },
    canary: {
      steps: [25, 100],
      bake: '60s',
      maxErrorRate: 0.01,
      maxP99Ratio: 20,
      maxMismatchRate: 0.01,
      minSamples: 20,
    },
  },
};
const gateOpensWithinMs = 120_000;
const foundWithinMs = 90_000;
const stepsBackWithinMs = 90_000;
/** A flip is obeyed in milliseconds; what was decided before may take a moment more. */
const obeyedWithinMs = 500;
/** Of what is read, of how it is paged, and of a write, which the service has only done dry. */
const plantedAtShadow = ['money-as-text', 'cursor-ends-early', 'wrong-default'];
const plantedAtCanary = 'money-as-text';

/**
 * The catalogue at stage shadow: users' requests are compared with what the service answers, and a healthy service passes the
 * gate; faults that are planted in it are found, each with its path; and a canary whose service goes wrong takes its
 * users back by itself.
 */
export const runCompareScenario = async (options: ScenarioOptions): Promise<CompareReport> => {
  const { products, instance, keep, progress, signal } = options;
  const folder = mkdtempSync(join(tmpdir(), 'demo-slices-'));
  const connections = visitorConnections();
  try {
    const shop = await openShop({
      ...{ instance, products, stage: 'shadow', keep, progress, signal },
      ...{ slicesFolder: overlaySlices(folder, { [slice]: watchable }), env: faultyCatalogue },
    });
    const { store, close } = openFlagStore(shop.flagStore, { log: createLog({ name: 'demo', level: 'silent' }) });
    try {
      return await drive({ shop, connections, store }, options);
    } finally {
      close();
      await connections.close();
      await shop.close();
    }
  } finally {
    if (!keep) rmSync(folder, { recursive: true, force: true });
  }
};

type Stage = { shop: Shop; connections: Dispatcher; store: FlagStore };
type Compared = ShadowSummary & { groups: ShadowGroup[] };

/** Nobody who only visits makes categories or deletes them, and `drive` deletes nothing. */
const makeCategories = async ({ proxyUrls }: Shop, adminToken: string): Promise<void> => {
  const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
  for (const proxyUrl of proxyUrls) {
    const name = `Passing ${randomUUID().slice(0, 8)}`;
    const made = await fetch(`${proxyUrl}/api/categories`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ name, slug: name.toLowerCase().replace(' ', '-') }),
    });
    const { id } = (await made.json()) as { id?: number };
    if (id === undefined) throw new Error(`expected a category to be made, got ${made.status}`);
    // The service must have it before it can be deleted there, dry.
    await pause(1_000);
    await fetch(`${proxyUrl}/api/categories/${id}`, { method: 'DELETE', headers });
  }
};

const drive = async (
  { shop, connections, store }: Stage,
  { requestsPerSecond, progress, signal }: ScenarioOptions,
): Promise<CompareReport> => {
  const command = { environment: operatorEnvironment(shop.system), signal };
  const random = seededRandom(42);
  const shared = { random, dispatcher: connections };
  const visitors = [
    ...(await inviteShoppers(shop, { accounts: 10, anonymous: 40, ...shared })),
    ...(await inviteWriters(shop, { merchants: 6, reviewers: 4, ...shared })),
  ];
  const adminToken = await logInAdmin(shop, connections);
  const keeper = createTally();
  const watched = { visits: [] as Visit[], on: false };
  const onVisit = (visit: Visit): void => {
    keeper.add(visit);
    if (watched.on) watched.visits.push(visit);
  };
  const report = async (): Promise<Compared> =>
    (await runStrangler(['shadow', 'report', slice], command))[0] as Compared;
  const unexplained = ({ groups }: Compared) => groups.filter(({ accepted }) => accepted === null);
  const reset = (reason: string) => runStrangler(['shadow', 'reset', slice, '--reason', reason], command);
  const alarms: string[] = [];
  const healthy: Compared[] = [];
  const seeHealthy = async (): Promise<void> => {
    const now = await report();
    healthy.push(now);
    for (const { endpoint, path } of unexplained(now)) alarms.push(`${endpoint} ${path}`);
    const { comparisons, outcomes } = now;
    progress.say(
      `  ${comparisons} compared: ${outcomes.noise} noise, ${outcomes.lag} behind for a moment, ${outcomes.different} different`,
    );
  };
  /** Advances as soon as the gate lets it, and makes the requests for what nobody asks for by himself. */
  const advanceWhenCompared = async (): Promise<void> => {
    const tokens = ['--token', adminToken];
    const isShut = (failure: unknown): boolean =>
      failure instanceof StranglerError && failure.status === exitCodes.refused;
    const advance = async (): Promise<void> => {
      try {
        await runStrangler(['advance', slice, '--reason', 'the demo'], command);
      } catch (error) {
        if (!isShut(error)) throw error;
        await makeCategories(shop, adminToken);
        await runStrangler(
          ['shadow', 'drive', slice, '--proxy', shop.proxyUrls[0]!, '--writes', '--rate', '20', ...tokens],
          { ...command, alsoFine: [exitCodes.failed, exitCodes.refused] },
        );
        throw error;
      }
    };
    const gate = { what: 'the gate into canary', withinMs: gateOpensWithinMs };
    await eventually(advance, { ...gate, signal, isFinal: (failure) => !isShut(failure) });
  };

  progress.say(
    `${visitors.length} visitors, ${requestsPerSecond} requests a second, each compared with the service's answer`,
  );
  const crowd = startCrowd({ shoppers: visitors, requestsPerSecond, onVisit, random });
  try {
    const caught: CompareReport['caught'] = [];
    for (const fault of plantedAtShadow) {
      progress.say(`planted in the service: ${faultText(fault)}`);
      await plantFault(shop, fault);
      const plantedMs = performance.now();
      const path = await eventually(
        async () => {
          const found = unexplained(await report()).find(
            ({ path }) => isSeenAt(fault, path) && !path.startsWith('header'),
          );
          return found === undefined ? null : `${found.endpoint} ${found.path}`;
        },
        { what: fault, withinMs: foundWithinMs, signal },
      );
      const afterMs = Math.round(performance.now() - plantedMs);
      caught.push({ fault, path, afterMs });
      progress.say(`  found after ${afterMs} ms: ${path}`);
      await plantFault(shop, null);
      // What the faulty service has answered is of requests that came before, and not counted.
      await reset(`mended: ${fault}`);
    }

    progress.say('the service is healthy; strangler advance catalog waits for enough comparisons of every kind');
    await advanceWhenCompared();
    await seeHealthy();

    progress.say('the first quarter of the users reads from the service');
    await pause(4_000, signal);
    await seeHealthy();
    const before = (await store.get(slice))!.document;
    progress.say(`planted in the service: ${faultText(plantedAtCanary)}`);
    await plantFault(shop, plantedAtCanary);
    const plantedMs = performance.now();
    const back = await eventually(
      async () => {
        const { document } = (await store.get(slice))!;
        return document.change.id === before.change.id ? null : document;
      },
      { what: 'the step back', withinMs: stepsBackWithinMs, signal },
    );
    const stepBackMs = Math.round(performance.now() - plantedMs);
    progress.say(
      `  after ${stepBackMs} ms ${back.change.by} took it to ${back.reads.percent} %: ${back.change.reason}`,
    );
    await pause(obeyedWithinMs, signal);
    watched.on = true;
    const fromMs = performance.timeOrigin + performance.now();
    await pause(3_000, signal);
    const after = watched.visits.filter(({ startedAtMs }) => startedAtMs >= fromMs);
    const servedAfterStepBack = after.filter(({ side }) => side === 'service').length;
    progress.say(`  ${after.length} requests since, ${servedAfterStepBack} of them answered by the service`);
    await plantFault(shop, null);

    const { total, failed, durationsMs, failures } = keeper.tally();
    const sum = (of: (one: Compared) => number) => of(healthy.at(-1)!);
    const compared = sum(({ comparisons }) => comparisons);
    const bounds = [
      atMost('failed requests', failed, 0),
      atLeast('comparisons of the healthy service', compared, 300),
      atMost('groups of differences that the healthy service was blamed for', alarms.length, 0),
      atLeast('planted faults that were found', caught.length, plantedAtShadow.length),
      atMost('the percentage after the canary’s fault', back.reads.percent, 0),
      atLeast('steps back that the canary took by itself', back.change.by === canaryAuthor ? 1 : 0, 1),
      atMost('requests that the service answered after the step back', servedAfterStepBack, 0),
      atLeast('requests after the step back', after.length, 10),
    ];
    return {
      ok: bounds.every((bound) => bound.ok),
      bounds,
      requests: { total, failed },
      mismatches: {
        compared,
        noise: sum(({ outcomes }) => outcomes.noise),
        lag: sum(({ outcomes }) => outcomes.lag),
        unexplained: alarms.length,
      },
      caught,
      stepBackMs,
      servedAfterStepBack,
      falseAlarms: new Set(alarms).size,
      latencyMs: spread(durationsMs),
      failures: failures.map(({ action, failure }) => ({ action, failure })),
    };
  } finally {
    await crowd.stop();
  }
};
