import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import type { SentRequest, SideAnswer } from '../http/side.ts';
import { type Comparing, compareStep, knownIdentities } from './compare-step.ts';
import { describeDifferences, describeRequest } from './describe.ts';
import { type Scenario, ScenarioError, type ScenarioStep } from './scenario.ts';
import { fillIn, fillText } from './template.ts';

/** Role → access token. */
export type Tokens = Readonly<Record<string, string>>;

export type ScenarioRun =
  | { outcome: 'same'; requests: number }
  | {
      outcome: 'different';
      /** From 1. */
      step: number;
      request: SentRequest;
      differences: Difference[];
      /** All of it for a person. */
      text: string;
    };

/**
 * Runs a scenario on both sides, step by step, until something differs.
 * @throws ScenarioError where the left side itself does not answer as the scenario says
 */
export async function runScenario(
  scenario: Pick<Scenario, 'name' | 'steps'>,
  comparing: Comparing,
  tokens: Tokens,
): Promise<ScenarioRun> {
  const [left, right] = comparing.sides;
  const identities = knownIdentities(comparing);
  const told: [SideAnswer[], SideAnswer[]] = [[], []];
  await comparing.observer.begin();
  for (const [at, step] of scenario.steps.entries()) {
    const where = `${scenario.name}, step ${at + 1}`;
    const requests = [requestOf(step, told[0], tokens, where), requestOf(step, told[1], tokens, where)] as const;
    const { answers, differences } = await compareStep(comparing, requests, identities);
    const [request] = requests;
    if (differences.length > 0) {
      const text = `${where}: ${describeRequest(request)}\n${describeDifferences(differences, [left.name, right.name])}`;
      return { outcome: 'different', step: at + 1, request, differences, text };
    }
    if (step.status !== undefined && answers[0].status !== step.status) {
      const found = answers[0].bytes.toString('utf8').slice(0, 500);
      throw new ScenarioError(
        `${where}: ${left.name}: ${describeRequest(request)}: expected ${step.status}, found ${answers[0].status}\n    ${found}`,
      );
    }
    for (const side of [0, 1] as const) told[side].push(answers[side]);
  }
  return { outcome: 'same', requests: scenario.steps.length };
}

/** What a step sends to a side that has answered so. */
export function requestOf(
  { method, path, as, headers, body, text }: ScenarioStep,
  answers: readonly SideAnswer[],
  tokens: Tokens,
  where: string,
): SentRequest {
  const token = as === undefined ? undefined : tokens[as];
  if (as !== undefined && token === undefined) {
    throw new ScenarioError(
      `${where}: expected a token for the role ${as}, found those of ${Object.keys(tokens).join(', ') || 'nobody'}`,
    );
  }
  const sent = text ?? (body === undefined ? null : JSON.stringify(fillIn(body, answers)));
  const filled = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(fillText(value, answers))]);
  return {
    method,
    path: String(fillText(path, answers)),
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(sent === null ? {} : { 'content-type': 'application/json' }),
      ...(Object.fromEntries(filled) as Record<string, string>),
    },
    body: sent,
  };
}
