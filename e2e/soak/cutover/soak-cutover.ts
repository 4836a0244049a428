import { pause } from '@strangler/platform/backoff.ts';
import type { CutoverFindings } from '../../checker/check-cutovers.ts';
import { pauseOf, stepsOf } from '../../checker/pauses.ts';
import { atLeast, atMost, type Bound } from '../../demo/bounds.ts';
import type { Progress } from '../../demo/progress.ts';
import { seededRandom } from '../../traffic/random.ts';
import { percentile } from '../../traffic/tally.ts';
import { compareSides, deadLetterCount } from './compare-sides.ts';
import { drawFaults } from './cutover-faults.ts';
import { type Move, moveOwner } from './move-owner.ts';
import { openRig, type Rig, slice } from './rig.ts';

export type SoakCutoverOptions = {
  instance: string;
  /** The same seed draws the same faults in the same order. */
  seed: number;
  /** How many times the ownership of the writes is moved, there and back in turn. */
  cutovers: number;
  /** How many of these meet a fault; with none, no request may fail either. */
  faults: number;
  requestsPerSecond: number;
  products: number;
  workersPerProxy: number;
  progress: Progress;
  signal: AbortSignal;
};

export type Spread = { p50: number; p99: number; max: number };

export type SoakCutoverReport = {
  ok: boolean;
  bounds: Bound[];
  scenario: 'cutover';
  seed: number;
  cutovers: number;
  faults: string[];
  requests: { total: number; failed: number };
  failures: { action: string; failure: string }[];
  acknowledgedWrites: CutoverFindings['acknowledged'];
  writePauseMs: Spread;
  steps: Record<string, Spread>;
  refusedByFence: number;
  resumed: number;
  attempts: number;
  findings: Omit<CutoverFindings, 'counterexamples'>;
  violations: string[];
};

/** How long what has died stays away, and how long there is peace between two cut-overs: between these, by the seed. */
const awayMs = { least: 200, most: 2_500 };
const peaceMs = { least: 100, most: 600 };

/**
 * Moves the ownership of the catalogue's writes there and back while clients write through the proxies and past them, and,
 * where that is asked for, while one thing or another dies on the way; then judges all that was logged by what both
 * databases hold.
 */
export const soakCutover = async (options: SoakCutoverOptions): Promise<SoakCutoverReport> => {
  const { instance, seed, products, workersPerProxy, requestsPerSecond, progress, signal } = options;
  const rig = await openRig({
    ...{ instance, seed, products, workersPerProxy, requestsPerSecond, progress, signal },
    ...{ checkedProducts: 40, merchants: 24, reviewers: 6, readShare: 0.3, strays: true },
  });
  try {
    rig.startTraffic();
    const moves = await moveToAndFro(rig, options);
    await rig.stopTraffic();
    progress.say('traffic stopped; waiting until both pipes are empty');
    return await report(rig, options, moves);
  } finally {
    await rig.close();
  }
};

const moveToAndFro = async (rig: Rig, options: SoakCutoverOptions): Promise<Move[]> => {
  const { seed, cutovers, faults, progress, signal } = options;
  const random = seededRandom(seed);
  const draw = drawFaults(rig.shop.system, random);
  const between = ({ least, most }: typeof awayMs) => least + random() * (most - least);
  const moves: Move[] = [];
  while (moves.length < cutovers) {
    const fault = moves.length < faults ? draw() : null;
    const move = await moveOwner({ rig, fault, awayMs: between(awayMs), progress, signal });
    moves.push(move);
    const { total, failed } = rig.keeper.tally();
    progress.say(
      `${moves.length}: the ${move.to} owns the writes${move.fault === null ? '' : `, ${move.fault}`}; ${move.attempts} attempts, ${total} requests, ${failed} failed so far`,
    );
    await pause(between(peaceMs), signal);
    signal.throwIfAborted();
  }
  return moves;
};

const report = async (
  rig: Rig,
  { seed, faults, cutovers, signal, progress }: SoakCutoverOptions,
  moves: readonly Move[],
): Promise<SoakCutoverReport> => {
  const { counterexamples, ...findings } = await rig.judge();
  for (const words of counterexamples) progress.say(`FOUND ${words}`);
  const { environment } = rig;
  const rows = await compareSides(slice, { environment, signal });
  const deadLetters = await deadLetterCount(slice, { environment, signal });
  const journals = await rig.journals();
  const done = journals.filter(({ outcome }) => outcome === 'done');
  const throughProxies = rig.history().filter(({ op }) => op !== 'sql update');
  const pauses = done.flatMap((journal) => pauseOf(journal, throughProxies)?.gapMs ?? []);
  const { total, failed, failures } = rig.keeper.tally();
  const strayFailures = rig.strays.flatMap((stray) => stray.failures());
  const count = (of: (move: Move) => number) => moves.reduce((sum, move) => sum + of(move), 0);
  const { acknowledged, refused, unknown } = findings;
  const bounds = [
    atLeast('cut-overs', moves.length, cutovers),
    atLeast('acknowledged writes', acknowledged.total, cutovers),
    atMost('acknowledged writes that are missing', acknowledged.missing, 0),
    atMost('writes that were done twice', acknowledged.doubled, 0),
    atMost('refused writes that are there', refused.present, 0),
    atMost('writes of unknown outcome that are on one side only', unknown.split, 0),
    atMost('keys that differ between the sides', findings.differing, 0),
    atMost('values that nobody has written', findings.unexplained, 0),
    atMost('keys whose history is not linearisable', findings.notLinearisable, 0),
    atMost('epochs of a key with two owners', findings.bothOwners, 0),
    atMost('rows that differ, by verify', rows.different, 0),
    atLeast('rows compared by verify', rows.compared, 1),
    atMost('dead letters', deadLetters, 0),
    atMost('errors of those who write past the proxies', strayFailures.length, 0),
    ...(faults === 0 ? [atMost('failed requests', failed, 0)] : []),
  ];
  return {
    ok: bounds.every(({ ok }) => ok),
    bounds,
    scenario: 'cutover',
    seed,
    cutovers: moves.length,
    faults: moves.flatMap(({ fault }) => fault ?? []),
    requests: { total, failed },
    failures: failures.map(({ action, failure }) => ({ action, failure })),
    acknowledgedWrites: acknowledged,
    writePauseMs: spreadOf(pauses),
    steps: Object.fromEntries(stepsOf(done).map(({ step, tookMs }) => [step, spreadOf(tookMs)])),
    refusedByFence: rig.strays.reduce((sum, stray) => sum + stray.counts().refusedByFence, 0),
    resumed: count(({ resumed }) => resumed),
    attempts: count(({ attempts }) => attempts),
    findings,
    violations: [...counterexamples, ...strayFailures],
  };
};

/** With one decimal. */
export const spreadOf = (values: readonly number[]): Spread => {
  const at = (share: number) => Math.round(percentile(values, share) * 10) / 10;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
};
