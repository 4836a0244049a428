import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import type { SentRequest, SideAnswer } from '../../http/side.ts';
import type { ApiOperation } from '../../openapi/operation.ts';
import { type Comparing, compareStep, knownIdentities } from '../compare-step.ts';
import { requestOf, type Tokens } from '../run-scenario.ts';
import type { ScenarioStep } from '../scenario.ts';
import { TemplateError } from '../template.ts';
import { badRole, badToken, currentTag, type MadeStep, makeSteps } from './make-request.ts';
import { createMemory, type KnownIds } from './memory.ts';
import type { StepPlan } from './plan.ts';

/** What one sequence stands on, beside its plan. */
export type Running = Comparing & {
  operations: readonly ApiOperation[];
  tokens: Tokens;
  /** Brings both sides back to the same data. */
  reset(): Promise<void>;
  /** Ids of things that no operation lists. */
  known?: KnownIds;
  /** Roles that operations have refused; learnt over all sequences. */
  refused: Map<number, Set<string>>;
  onStep?(operation: ApiOperation, status: number): void;
};

/** Something that the two sides do not do alike. */
export type Found = {
  /** Everything that was sent, the last one showing the difference. */
  steps: ScenarioStep[];
  request: SentRequest;
  differences: Difference[];
  /** How many of the plans were needed. */
  plans: number;
  /** How many of the steps are the first reads. */
  firstReads: number;
};

/**
 * Runs a plan from the same data on both sides and stops at the first difference. It begins by reading every list that needs no
 * more than its path, as everybody who may have one, so that there is something to speak of.
 */
export async function runPlan(
  plans: readonly StepPlan[],
  running: Running,
): Promise<{ steps: number; found: Found | null }> {
  const { operations, tokens, refused } = running;
  await running.reset();
  await running.observer.begin();
  const memory = createMemory(running.known);
  const identities = knownIdentities(running);
  const answers: [SideAnswer[], SideAnswer[]] = [[], []];
  const steps: ScenarioStep[] = [];
  let firstReads = 0;
  const sentTokens = { ...tokens, [badRole]: badToken };

  const take = async (made: MadeStep, plansSoFar: number): Promise<Found | null> => {
    const number = steps.length + 1;
    const step = withCurrentTag(made.step, answers[0]);
    let requests: readonly [SentRequest, SentRequest];
    try {
      const of = (side: 0 | 1) => requestOf(step, answers[side], sentTokens, `step ${number}`);
      requests = [of(0), of(1)];
    } catch (error) {
      // Something that was told before is not in the answer this time: the plan has become another one, and says nothing here.
      if (error instanceof TemplateError) return null;
      throw error;
    }
    steps.push(step);
    const { answers: told, differences } = await compareStep(running, requests, identities);
    const operation = operations[made.operation] as ApiOperation;
    running.onStep?.(operation, told[0].status);
    if (differences.length > 0) return { steps, request: requests[0], differences, plans: plansSoFar, firstReads };
    for (const side of [0, 1] as const) answers[side].push(told[side]);
    if (told[0].status === 403 && step.as !== undefined && step.as !== badRole) {
      const known = refused.get(made.operation) ?? new Set<string>();
      refused.set(made.operation, known.add(step.as));
    }
    const [path = ''] = requests[0].path.split('?');
    const heard = { step: number, method: operation.method, template: operation.path, path, target: requests[0].path };
    memory.hear({ ...heard, operation: made.operation, query: made.query, ids: made.ids, answers: told });
    return null;
  };

  for (const [index, { method, path, parameters, signedIn }] of operations.entries()) {
    if (method !== 'GET' || path.includes('{') || parameters.some(({ required }) => required)) continue;
    // What is each one's own has as many lists as there are roles.
    for (const reader of signedIn === 'must' ? Object.keys(tokens).map((as) => ({ as })) : [{}]) {
      const step = { method, path, headers: {}, ...reader };
      const found = await take({ operation: index, step, ids: [], query: {} }, 0);
      if (found) return { steps: steps.length, found };
      firstReads += 1;
    }
  }
  for (const [at, plan] of plans.entries()) {
    for (const made of makeSteps(plan, { operations, memory, roles: Object.keys(tokens), refused })) {
      const found = await take(made, at + 1);
      if (found) return { steps: steps.length, found };
    }
  }
  return { steps: steps.length, found: null };
}

/** The step that was just answered has the tag; without one there is nothing to match. */
function withCurrentTag(step: ScenarioStep, answers: readonly SideAnswer[]): ScenarioStep {
  if (step.headers['if-match'] !== currentTag) return step;
  const has = answers.at(-1)?.headers.some(([name]) => name === 'etag');
  return { ...step, headers: { ...step.headers, 'if-match': has ? `\${${answers.length}:header etag}` : '"none"' } };
}
