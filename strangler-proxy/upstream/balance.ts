import { dueForProbe, type EjectionState } from './ejection.ts';
import type { UpstreamPolicy } from './policy.ts';

/** What the choice looks at in one instance. */
export type Candidate = {
  readonly id: string;
  readonly outstanding: number;
  readonly joinedMs: number;
  readonly health: EjectionState;
};

/** `once`: the request cannot be repeated when the instance fails, so it should not be the one that tries it. */
export type Repeatability = 'repeatable' | 'once';

export type Choice<C> =
  | { kind: 'chosen'; candidate: C }
  | { kind: 'none'; why: 'no-instances' | 'all-tried' | 'all-ejected' };

export type ChoiceInput = {
  exclude: ReadonlySet<string> | undefined;
  repeatability: Repeatability;
  nowMs: number;
  policy: Pick<UpstreamPolicy, 'ejection' | 'slowStartMs' | 'lastInstance'>;
  /** In [0, 1), like Math.random. */
  random: () => number;
};

/**
 * Picks the instance for one request, none of `exclude`. An instance whose probe is due comes first, with one request that
 * can be repeated elsewhere; then the less loaded of two random healthy ones ("The Power of Two Choices in Randomized
 * Load Balancing", M. Mitzenmacher 2001); then, for a request that cannot be repeated, a due one after all. Where the
 * last instance is kept, one that is ejected is better than none.
 */
export function chooseInstance<C extends Candidate>(candidates: readonly C[], input: ChoiceInput): Choice<C> {
  if (candidates.length === 0) return { kind: 'none', why: 'no-instances' };

  const healthy: C[] = [];
  let due: C | undefined;
  let soonest: C | undefined;
  for (const candidate of candidates) {
    if (input.exclude?.has(candidate.id)) continue;
    if (candidate.health.kind === 'healthy') {
      healthy.push(candidate);
    } else {
      soonest = earlier(soonest, candidate);
      if (dueForProbe(candidate.health, input.nowMs, input.policy.ejection)) due = earlier(due, candidate);
    }
  }

  if (due !== undefined && (input.repeatability === 'repeatable' || healthy.length === 0)) {
    return { kind: 'chosen', candidate: due };
  }
  if (healthy.length > 0) return { kind: 'chosen', candidate: lessLoadedOfTwo(healthy, input) };
  if (soonest === undefined) return { kind: 'none', why: 'all-tried' };
  if (input.policy.lastInstance === 'keep') return { kind: 'chosen', candidate: soonest };
  return { kind: 'none', why: 'all-ejected' };
}

/** How much of its turns a new instance takes, from a tenth up to all of them at the end of its slow start. */
export function warmth(joinedMs: number, nowMs: number, slowStartMs: number): number {
  const ageMs = nowMs - joinedMs;
  return ageMs >= slowStartMs ? 1 : Math.max(0.1, ageMs / slowStartMs);
}

function lessLoadedOfTwo<C extends Candidate>(healthy: readonly C[], input: ChoiceInput): C {
  const count = healthy.length;
  if (count === 1) return healthy[0]!;
  const firstAt = Math.floor(input.random() * count);
  let secondAt = Math.floor(input.random() * (count - 1));
  if (secondAt >= firstAt) secondAt += 1;
  const first = healthy[firstAt]!;
  const second = healthy[secondAt]!;

  const firstTakesItsTurn = takesItsTurn(first, input);
  if (firstTakesItsTurn !== takesItsTurn(second, input)) return firstTakesItsTurn ? first : second;
  return second.outstanding < first.outstanding ? second : first;
}

function takesItsTurn(candidate: Candidate, input: ChoiceInput): boolean {
  const share = warmth(candidate.joinedMs, input.nowMs, input.policy.slowStartMs);
  return share >= 1 || input.random() < share;
}

function earlier<C extends Candidate>(one: C | undefined, other: C): C {
  return one === undefined || probeTimeMs(other) < probeTimeMs(one) ? other : one;
}

/** When it may be tried; one that is being tried now comes after all that are not. */
function probeTimeMs(candidate: Candidate): number {
  return candidate.health.kind === 'ejected' ? candidate.health.untilMs : Number.POSITIVE_INFINITY;
}
