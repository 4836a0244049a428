import { compareAnswers, type Difference } from '@strangler/platform/compare/compare-answers.ts';
import type { IdentityMap } from '@strangler/platform/compare/identities.ts';
import type { CompareRules } from '@strangler/platform/compare/rules.ts';
import { comparedAnswer, type SentRequest, type Side, type SideAnswer } from '../http/side.ts';
import type { Observer } from './observe/observer.ts';

/** How two sides are held against each other. The left one is right, as the monolith is. */
export type Comparing = {
  sides: readonly [left: Side, right: Side];
  rules: CompareRules;
  observer: Observer;
  /** The right side may take this much longer, in ms; null: time is not compared. Only reads that are slow three times count. */
  slowerByMs: number | null;
};

export type ComparedStep = {
  answers: readonly [left: SideAnswer, right: SideAnswer];
  differences: Difference[];
};

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
  const compared = compareAnswers(
    comparedAnswer(one, leftEffects),
    comparedAnswer(other, rightEffects),
    rules,
    identities,
  );
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
