import { compareAnswers, type Difference } from '@strangler/platform/compare/compare-answers.ts';
import { createIdentityMap, type IdentityMap, learnIdentities } from '@strangler/platform/compare/identities.ts';
import type { CompareRules } from '@strangler/platform/compare/rules.ts';
import { comparedAnswer, type SentRequest, type Side, type SideAnswer } from '../http/side.ts';
import type { Observer } from './observe/observer.ts';

/** How two sides are held against each other. The left one is right, as the monolith is. */
export type Comparing = {
  sides: readonly [left: Side, right: Side];
  /** The same for every request, or as `rulesOfSlice` gives them: some rules hold for one route only. */
  rules: CompareRules | ((request: SentRequest) => CompareRules);
  observer: Observer;
  /** Ids that name the same thing from the beginning, where each side has numbered by itself what both had before. */
  sameIds?: readonly (readonly [left: string | number, right: string | number])[];
  /** The right side may take this much longer, in ms; null: time is not compared. Only reads that are slow three times count. */
  slowerByMs: number | null;
};

export type ComparedStep = {
  answers: readonly [left: SideAnswer, right: SideAnswer];
  differences: Difference[];
};

/** What is known of ids before the first request. */
export function knownIdentities({ sameIds = [] }: Pick<Comparing, 'sameIds'>): IdentityMap {
  const identities = createIdentityMap();
  for (const [left, right] of sameIds) identities.pair(left, right);
  return identities;
}

export const rulesFor = (rules: Comparing['rules'], request: SentRequest): CompareRules =>
  typeof rules === 'function' ? rules(request) : rules;

const safe = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Sends one request to both sides, at the same time, and compares what they answer and what they leave behind. */
export async function compareStep(
  { sides: [left, right], rules, observer, slowerByMs }: Comparing,
  [ours, theirs]: readonly [SentRequest, SentRequest],
  identities: IdentityMap,
): Promise<ComparedStep> {
  const answers = await Promise.all([left.send(ours), right.send(theirs)]);
  const [one, other] = answers;
  const [leftEffects, rightEffects] = await observer.events();
  const [shown, theirShown] = [comparedAnswer(one, leftEffects), comparedAnswer(other, rightEffects)];
  const applying = rulesFor(rules, ours);
  // From the same data a write that both refuse alike has made the same, too, where it has made anything: a payment that failed.
  if (!safe.has(ours.method) && one.status === other.status) learnIdentities(shown, theirShown, applying, identities);
  const compared = compareAnswers(shown, theirShown, applying, identities);
  const differences = [...compared.differences];
  if (!safe.has(ours.method)) differences.push(...(await observer.rows()));
  else if (slowerByMs !== null && other.latencyMs - one.latencyMs > slowerByMs) {
    const again = await slowAgain([left, right], [ours, theirs], slowerByMs);
    if (again) {
      const shown = { monolith: Math.round(one.latencyMs), service: Math.round(other.latencyMs) };
      differences.push({ path: 'latency', at: 'latency', kind: 'value', ...shown });
    }
  }
  return { answers, differences };
}

/** One slow answer may be the machine's fault. */
async function slowAgain(
  [left, right]: readonly [Side, Side],
  [ours, theirs]: readonly [SentRequest, SentRequest],
  slowerByMs: number,
): Promise<boolean> {
  for (let time = 0; time < 2; time += 1) {
    const [one, other] = [await left.send(ours), await right.send(theirs)];
    if (other.latencyMs - one.latencyMs <= slowerByMs) return false;
  }
  return true;
}
