import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import { pause } from '@strangler/platform/backoff.ts';
import type { ShadowExample, ShadowGroup, ShadowSummary } from '@strangler/platform/shadow-report/entry.ts';
import type { CutoverFindings } from '../../checker/check-cutovers.ts';
import { pauseOf } from '../../checker/pauses.ts';
import { compareSides, deadLetterCount } from '../../soak/cutover/compare-sides.ts';
import type { CutoverFault } from '../../soak/cutover/cutover-faults.ts';
import { moveOwner } from '../../soak/cutover/move-owner.ts';
import { openRig, type Rig, slice } from '../../soak/cutover/rig.ts';
import { type Spread, spreadOf } from '../../soak/cutover/soak-cutover.ts';
import { crashed, type Fault, killed } from '../../soak/faults.ts';
import { startCrowd } from '../../traffic/crowd.ts';
import { seededRandom } from '../../traffic/random.ts';
import { spread } from '../../traffic/tally.ts';
import type { Visitor } from '../../traffic/visitor.ts';
import { atLeast, atMost, type Bound } from '../bounds.ts';
import { overlaySlices } from '../overlay-slices.ts';
import { inviteShoppers } from '../shoppers.ts';
import { followAuthor } from '../story/follow-author.ts';
import { followCanary } from '../story/follow-canary.ts';
import { type CountedFindings, sumFindings } from '../story/sum-findings.ts';
import { type CutWatch, watchCuts } from '../story/watch-cuts.ts';
import { runOnceOpen, runStrangler, StranglerError } from '../strangler.ts';
import type { PipeOptions } from './pipe.ts';

export type StoryReport = {
  ok: boolean;
  bounds: Bound[];
  requests: {
    total: number;
    failed: number;
    reads: number;
    writes: number;
    /** Writes that were on their way through a proxy at the moment it was killed: nobody can know what became of them, and the checker looks. */
    cutOff: number;
  };
  killed: string[];
  /** Answers of both sides that were compared before the canary and during it, each time. */
  compared: { samples: number; noise: number; lag: number; unexplained: number };
  /** Percentages that the canary took by itself, each time. */
  canarySteps: number[];
  cutovers: number;
  writePauseMs: Spread;
  acknowledgedWrites: CutoverFindings['acknowledged'];
  bothOwners: number;
  refusedByFence: number;
  resumed: number;
  rows: { compared: number; different: number };
  deadLettered: number;
  findings: Omit<CutoverFindings, 'counterexamples'>;
  violations: string[];
  latencyMs: { p50: number; p99: number };
  failures: { action: string; failure: string }[];
};

/**
 * Gates that open while somebody watches; real ones take their time. Reads only are compared: a write that goes past the
 * proxies may come between the dry run of another and the other itself, which then differ rightly. With some fifty users
 * a canary's first step of 5 % may well have nobody in it.
 */
const gates = {
  shadow: { sample: 1, calibrate: 0.1, writes: 'off' },
  gates: {
    shadow: { samples: 60, mismatches: 0, perCell: 1 },
    canary: { steps: [25, 50, 100], bake: '2s', maxErrorRate: 0.01, maxP99Ratio: 20, minSamples: 20 },
  },
};

/**
 * The whole way of a slice: from the monolith to the service, back to the monolith, forward again, and to its end, under shoppers, admins,
 * customers, a SQL session and a job that ignore the proxies, while one of each kind of process is killed. Afterwards an
 * independent reader judges every write that somebody logged.
 */
export const runStoryScenario = async (options: PipeOptions): Promise<StoryReport> => {
  const { instance, products, requestsPerSecond, keep, progress, signal } = options;
  const folder = mkdtempSync(join(tmpdir(), 'demo-slices-'));
  const cuts = watchCuts();
  const random = seededRandom(42);
  let shoppers: Visitor[] = [];
  try {
    const rig = await openRig({
      ...{ instance, products, requestsPerSecond, keep, progress, signal, seed: 7 },
      ...{ checkedProducts: 30, merchants: 8, reviewers: 4, readShare: 0.3, strays: true },
      begin: 'monolith',
      slicesFolder: overlaySlices(folder, { [slice]: gates }),
      async others(shop, dispatcher) {
        shoppers = await inviteShoppers(shop, { accounts: 10, anonymous: 30, random, dispatcher });
        return shoppers;
      },
      onVisit: cuts.see,
    });
    try {
      return await tell({ rig, cuts, shoppers, random }, options);
    } finally {
      await rig.close();
    }
  } finally {
    if (!keep) rmSync(folder, { recursive: true, force: true });
  }
};

/** While products are written all the time, an entity tag may be old before it can be asked for again. */
const turnsOfDriving = 8;

type Compared = ShadowSummary & { groups: ShadowGroup[] };
type Stage = { rig: Rig; cuts: CutWatch; shoppers: readonly Visitor[]; random: () => number };

const tell = async ({ rig, cuts, shoppers, random }: Stage, options: PipeOptions): Promise<StoryReport> => {
  const { requestsPerSecond, secondsPerStep, progress, signal } = options;
  const { environment, shop } = rig;
  const { system } = shop;
  const command = { environment, signal };
  const killedNames: string[] = [];
  const watch = async (): Promise<void> => {
    await pause(secondsPerStep * 1000, signal);
    signal.throwIfAborted();
    const { total, failed, writes } = rig.keeper.tally();
    progress.say(`  ${total} requests, ${writes} of them writes, ${failed} failed so far`);
  };
  const kill = async (fault: Fault): Promise<void> => {
    progress.say(`${fault.name} with -9`);
    killedNames.push(fault.name);
    await fault.begin();
    await fault.end();
  };
  const advance = async (what: string): Promise<void> => {
    progress.say(`strangler advance ${slice}: ${what}`);
    await runOnceOpen(['advance', slice, '--reason', 'the demo'], command);
  };
  /** Advances once enough answers were compared, and asks for those that nobody asks for by himself. */
  const advanceCompared = async (what: string): Promise<void> => {
    const words = ['shadow', 'drive', slice, '--proxy', shop.proxyUrls[1]!, '--rate', '20'];
    for (let turn = 1; ; turn += 1) {
      progress.say(`strangler shadow drive ${slice}: the answers that nobody has asked for yet`);
      await runStrangler(words, { ...command, alsoFine: [exitCodes.failed, exitCodes.refused] });
      try {
        progress.say(`strangler advance ${slice}: ${what}`);
        return void (await runStrangler(['advance', slice, '--reason', 'the demo'], command));
      } catch (error) {
        const report = await reportCompared();
        await sayFound(report);
        const isShut = error instanceof StranglerError && error.status === exitCodes.refused;
        if (!isShut || report.unexplained > 0 || turn === turnsOfDriving) throw error;
      }
    }
  };
  const compared = { samples: 0, noise: 0, lag: 0, unexplained: 0 };
  const differing: string[] = [];
  const sayFound = async (report: Compared): Promise<void> => {
    for (const { id } of unexplainedGroups(report)) {
      const shown = await runStrangler(['shadow', 'show', slice, id], command);
      for (const { group, example } of shown as { group: ShadowGroup; example: ShadowExample | null }[]) {
        progress.say(`FOUND ${placeOf(group)}`);
        for (const difference of example?.differences ?? []) progress.say(`  ${JSON.stringify(difference)}`);
        if (example !== null) progress.say(`  ${example.request.method} ${example.request.path}`);
      }
    }
  };
  const reportCompared = async (): Promise<Compared> =>
    (await runStrangler(['shadow', 'report', slice], command))[0] as Compared;
  const addCompared = async (): Promise<void> => {
    const report = await reportCompared();
    const { comparisons, outcomes } = report;
    compared.samples += comparisons;
    compared.noise += outcomes.noise;
    compared.lag += outcomes.lag;
    const found = unexplainedGroups(report).map(placeOf);
    compared.unexplained += found.length;
    await sayFound(report);
    differing.push(...found);
    progress.say(
      `  ${comparisons} answers compared: ${outcomes.lag} behind for a moment, ${outcomes.noise} noise, ${outcomes.different} different`,
    );
  };

  const meanwhile = async <T>(work: () => Promise<T>): Promise<T> => {
    const customers = startCrowd({ shoppers, requestsPerSecond, onVisit: rig.keeper.add, random });
    try {
      return await work();
    } finally {
      await customers.stop();
    }
  };

  await meanwhile(async () => {
    await watch();
    await advance('capture, and a copy of what was there before');
  });
  // What is written from here on is captured, so that the checker can look for it.
  await rig.invite();
  rig.startTraffic();
  await kill(killed(system.process('relay-1')));
  await kill(killed(system.process('applier-catalog-1')));
  await advance('both sides compared while traffic goes on');
  await advanceCompared('once enough answers of both sides were compared, the first users read from the service');
  const canarySteps = await followCanary({ ...rig, slice }, progress, signal);
  await addCompared();
  progress.say('killing a proxy: its clients go to the other one, as behind a load balancer');
  cuts.killing();
  await kill(killed(system.process('proxy-1')));
  await advance('every read goes to the service');
  await kill(killed(system.process('catalog-1')));
  await watch();

  const moves = [await move(rig, null, options)];
  await watch();
  moves.push(await move(rig, { kind: 'coordinator', step: 'drain' }, options));
  killedNames.push('the coordinator killed');
  await watch();
  const first = await judgeLife(rig, options);

  progress.say(`strangler rollback ${slice}: all the way back to the monolith, while shoppers go on`);
  const leftOver = await meanwhile(async () => {
    while ((await rig.flag()).stage !== 'monolith') {
      await runStrangler(['rollback', slice, '--reason', 'the demo'], command);
      progress.say(`  at ${(await rig.flag()).stage}`);
    }
    return await rig.beginAnew();
  });
  progress.say(`the monolith's database is as it was: ${leftOver} triggers and tables of ours are left in it`);

  await meanwhile(() => advance('forward again: capture, and a copy'));
  await rig.invite();
  rig.startTraffic();
  await advance('both sides compared');
  await advanceCompared('the first users read from the service again');
  canarySteps.push(...(await followCanary({ ...rig, slice }, progress, signal)));
  await addCompared();
  await advance('every read goes to the service');
  await kill(crashed(system.instance, 'rabbitmq'));
  await Promise.all(
    system.processes.filter(({ kind }) => kind === 'relay' || kind === 'applier').map((one) => one.waitReady()),
  );
  moves.push(await move(rig, null, options));
  await watch();
  const second = await judgeLife(rig, options);

  progress.say(
    `strangler advance ${slice} --confirm ${slice}: the monolith's tables are put away, while shoppers go on`,
  );
  const isFollowed = await meanwhile(async () => {
    await runOnceOpen(['advance', slice, '--confirm', slice, '--settle', '2s', '--reason', 'the demo'], command);
    await watch();
    return await followAuthor(rig);
  });
  const { stage } = await rig.flag();

  const findings = sumFindings(first.findings, second.findings);
  const rows = {
    compared: first.rows.compared + second.rows.compared,
    different: first.rows.different + second.rows.different,
  };
  const deadLettered = first.deadLettered + second.deadLettered;
  const done = first.cutovers + second.cutovers;
  const strayFailures = rig.strays.flatMap((stray) => stray.failures());
  const { acknowledged, refused, unknown, bothOwners, unexplained, notLinearisable } = findings;
  const { total, failed, reads, writes, durationsMs, failures } = rig.keeper.tally();
  const resumed = moves.reduce((sum, one) => sum + one.resumed, 0);
  const bounds = [
    atMost('failed requests', failed, 0),
    atMost('rows that differ', rows.different, 0),
    atMost('dead letters', deadLettered, 0),
    atMost('acknowledged writes that are missing', acknowledged.missing, 0),
    atMost('writes that were done twice', acknowledged.doubled, 0),
    atMost('refused writes that are there', refused.present, 0),
    atMost('writes of unknown outcome that are on one side only', unknown.split, 0),
    atMost('keys that differ between the sides', findings.differing, 0),
    atMost('values that nobody has written', unexplained, 0),
    atMost('keys whose history is not linearisable', notLinearisable, 0),
    atMost('epochs of a key with two owners', bothOwners, 0),
    atMost('errors of those who write past the proxies', strayFailures.length, 0),
    atMost('triggers and tables that going back has left in the monolith', leftOver, 0),
    atMost('groups of answers that differ', compared.unexplained, 0),
    atLeast('answers compared', compared.samples, 120),
    atLeast('cut-overs', done, 3),
    atLeast(
      'writes that the fence refused',
      rig.strays.reduce((sum, one) => sum + one.counts().refusedByFence, 0),
      1,
    ),
    atLeast('cut-overs resumed after the coordinator died', resumed, 1),
    atLeast('killed', killedNames.length, 6),
    atLeast('steps of the canary', canarySteps.length, 4),
    atLeast('slices at their end', stage === 'complete' ? 1 : 0, 1),
    atLeast('tables that stay the monolith’s and are still copied', isFollowed ? 1 : 0, 1),
  ];
  return {
    ok: bounds.every((bound) => bound.ok),
    bounds,
    requests: { total, failed, reads, writes, cutOff: cuts.count() },
    killed: killedNames,
    compared,
    canarySteps,
    cutovers: done,
    writePauseMs: spreadOf([...first.pausesMs, ...second.pausesMs]),
    acknowledgedWrites: acknowledged,
    bothOwners,
    refusedByFence: rig.strays.reduce((sum, one) => sum + one.counts().refusedByFence, 0),
    resumed,
    rows,
    deadLettered,
    findings,
    violations: [...first.counterexamples, ...second.counterexamples, ...strayFailures, ...differing],
    latencyMs: spread(durationsMs),
    failures: failures.map(({ action, failure }) => ({ action, failure })),
  };
};

/** What differs between the sides, of which nobody has said why. */
const unexplainedGroups = ({ groups }: Compared): ShadowGroup[] => groups.filter(({ accepted }) => accepted === null);
const placeOf = ({ endpoint, path, kind, count }: ShadowGroup): string =>
  `${endpoint} ${path}: ${kind}, ${count} times`;

type Life = {
  findings: CountedFindings;
  counterexamples: string[];
  rows: { compared: number; different: number };
  deadLettered: number;
  cutovers: number;
  pausesMs: number[];
};

/** Ends the traffic of those who log what they write, and looks for all of it on both sides. */
const judgeLife = async (rig: Rig, { progress, signal }: PipeOptions): Promise<Life> => {
  const command = { environment: rig.environment, signal };
  await rig.stopTraffic();
  progress.say('those who write have stopped; every write that they logged is looked for on both sides');
  const { counterexamples, ...findings } = await rig.judge();
  for (const words of counterexamples) progress.say(`FOUND ${words}`);
  const rows = await compareSides(slice, command);
  const deadLettered = (await deadLetterCount(slice, command)) + (await deadLetterCount(`${slice}-reverse`, command));
  progress.say(`verified: ${rows.compared} rows, ${rows.different} differ`);
  const done = (await rig.journals()).filter(({ outcome }) => outcome === 'done');
  const written = rig.history().filter(({ op }) => op !== 'sql update');
  const pausesMs = done.flatMap((journal) => pauseOf(journal, written)?.gapMs ?? []);
  return { findings, counterexamples, rows, deadLettered, cutovers: done.length, pausesMs };
};

const move = async (rig: Rig, fault: CutoverFault | null, { progress, signal }: PipeOptions) => {
  const { owner } = (await rig.flag()).writes;
  const words = owner === 'monolith' ? 'advance' : 'rollback';
  const died =
    fault === null ? '' : fault.kind === 'coordinator' ? `, killed at ${fault.step}` : `, ${fault.fault.name}`;
  progress.say(`strangler ${words} ${slice}: the writes move${died}`);
  const moved = await moveOwner({ rig, fault, awayMs: 200, progress, signal });
  const [last] = (await rig.journals()).slice(-1);
  const gapMs = last === undefined ? undefined : pauseOf(last, rig.history())?.gapMs;
  progress.say(
    `  the ${moved.to} owns the writes${moved.resumed > 0 ? ', after a resume' : ''}; the longest time without an acknowledged write was ${Math.round(gapMs ?? 0)} ms`,
  );
  return moved;
};
