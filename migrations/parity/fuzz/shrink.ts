import type { BodyPlan, StepPlan, ValuePlan } from './plan.ts';
import type { Found } from './run-plan.ts';

/** Runs a plan; what it finds, or null where it finds nothing that counts. */
export type Try = (plans: readonly StepPlan[]) => Promise<Found | null>;

export type Shrunk = { plans: readonly StepPlan[]; found: Found; tries: number };

/**
 * Makes a sequence that shows a difference as short and as simple as it can, while it still shows it: steps go first, in halves
 * and then one by one (delta debugging: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE
 * 28(2), 2002), then whatever a step does not need. Sound only if every try begins with the same data.
 */
export async function shrink(
  plans: readonly StepPlan[],
  found: Found,
  attempt: Try,
  mostTries: number,
): Promise<Shrunk> {
  let best: Shrunk = { plans: plans.slice(0, found.plans), found, tries: 0 };
  const better = async (candidate: readonly StepPlan[]): Promise<boolean> => {
    if (best.tries >= mostTries) return false;
    const shown = await attempt(candidate);
    best = { ...best, tries: best.tries + 1 };
    if (shown === null) return false;
    best = { plans: candidate.slice(0, shown.plans), found: shown, tries: best.tries };
    return true;
  };

  for (let size = Math.ceil(best.plans.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    // The last step shows the difference, mostly: what comes before it goes first.
    for (let at = Math.max(0, best.plans.length - 1 - size); ; at = Math.max(0, at - size)) {
      if (best.plans.length > 0) await better(best.plans.toSpliced(at, size));
      if (at === 0) break;
    }
  }
  for (let at = 0; at < best.plans.length; at += 1) {
    let tried = 0;
    for (;;) {
      const simpler = simplerSteps(best.plans[at] as StepPlan);
      if (tried >= simpler.length || best.tries >= mostTries) break;
      // What was refused once is not tried again: those before it in the list have been refused too.
      if (await better(best.plans.with(at, simpler[tried] as StepPlan))) continue;
      tried += 1;
      if (at >= best.plans.length) break;
    }
  }
  return best;
}

/** Each a little simpler than the step. */
export function simplerSteps(plan: StepPlan): StepPlan[] {
  const simpler: StepPlan[] = [];
  if (plan.look) simpler.push({ ...plan, look: false });
  const queries = Object.keys(plan.query);
  if (queries.length > 1) simpler.push({ ...plan, query: {} });
  for (const name of queries) {
    const { [name]: _, ...query } = plan.query;
    simpler.push({ ...plan, query });
  }
  if (plan.cursor !== 'none') simpler.push({ ...plan, cursor: 'none' });
  if (plan.ifNoneMatch !== 'none') simpler.push({ ...plan, ifNoneMatch: 'none' });
  if (plan.ifMatch !== 'none' && plan.ifMatch !== 'any') simpler.push({ ...plan, ifMatch: 'any' });
  for (const name of Object.keys(plan.headers)) {
    const { [name]: _, ...headers } = plan.headers;
    simpler.push({ ...plan, headers });
  }
  if (plan.mediaType !== 0) simpler.push({ ...plan, mediaType: 0 });
  if ('pick' in plan.role && (plan.role.kind !== 'fitting' || plan.role.pick > 0)) {
    simpler.push({ ...plan, role: { kind: 'fitting', pick: 0 } });
  }
  for (const [name, id] of Object.entries(plan.path)) {
    if (id.kind === 'known' && id.pick > 0) {
      simpler.push({ ...plan, path: { ...plan.path, [name]: { kind: 'known', pick: 0 } } });
    }
  }
  if (plan.body.kind === 'members') {
    for (const body of simplerBodies(plan.body)) simpler.push({ ...plan, body });
  }
  return simpler;
}

function simplerBodies({ members }: Extract<BodyPlan, { kind: 'members' }>): BodyPlan[] {
  return Object.keys(members).flatMap((name): BodyPlan[] => {
    const { [name]: value, ...rest } = members;
    const without: BodyPlan = { kind: 'members', members: rest };
    const plain = plainValue(value as ValuePlan);
    return plain === undefined ? [without] : [without, { kind: 'members', members: { ...members, [name]: plain } }];
  });
}

/** A short text in place of a long one, a thing that was heard of last in place of one long ago. */
function plainValue(value: ValuePlan): ValuePlan | undefined {
  if (value.kind === 'seen') {
    return value.pick > 0 || value.twist !== 'same' ? { ...value, pick: 0, twist: 'same' } : undefined;
  }
  const { value: found } = value;
  if (typeof found === 'string' && found.length > 8) return { kind: 'literal', value: found.slice(0, 4) };
  if (typeof found === 'object' && found !== null && Object.keys(found).length > 0)
    return { kind: 'literal', value: Array.isArray(found) ? [] : {} };
  return undefined;
}
