import { compareAnswers } from '@strangler/platform/compare/compare-answers.ts';
import type { IdentityMap } from '@strangler/platform/compare/identities.ts';
import { type CompareRules, compileRules } from '@strangler/platform/compare/rules.ts';
import { defaultCompare } from '@strangler/platform/contracts/slice-compare.ts';
import { comparedAnswer, type SideAnswer } from '../http/side.ts';
import type { Comparing } from './compare-step.ts';
import { describeDifferences } from './describe.ts';
import { runScenario, type Tokens } from './run-scenario.ts';
import type { Scenario } from './scenario.ts';

export type LikeOptions = {
  /** A slice file's `compare`, compiled; the defaults unless told. */
  rules?: CompareRules;
  identities?: IdentityMap;
  names?: readonly [left: string, right: string];
};

type Result = { pass: boolean; message: () => string };

/**
 * For Jest: `expect.extend(parityMatchers)`, then
 * `expect(serviceAnswer).toAnswerLike(monolithAnswer)` and `await expect(scenario).toRunAlike(comparing, tokens)`.
 */
export const parityMatchers = {
  toAnswerLike(found: SideAnswer, wanted: SideAnswer, options: LikeOptions = {}): Result {
    const { rules = compileRules(defaultCompare), identities, names = ['expected', 'found'] } = options;
    const { differences } = compareAnswers(
      comparedAnswer(wanted, null),
      comparedAnswer(found, null),
      rules,
      identities,
    );
    return {
      pass: differences.length === 0,
      message: () =>
        differences.length === 0
          ? 'expected an answer that differs, found the same'
          : `expected the same answer, found ${differences.length} differences\n\n${describeDifferences(differences, names)}`,
    };
  },

  async toRunAlike(scenario: Scenario, comparing: Comparing, tokens: Tokens = {}): Promise<Result> {
    const run = await runScenario(scenario, comparing, tokens);
    return {
      pass: run.outcome === 'same',
      message: () => (run.outcome === 'same' ? `${scenario.name}: expected a difference, found none` : run.text),
    };
  },
};

declare module '@jest/expect' {
  interface Matchers<R extends void | Promise<void>> {
    /** This answer says what the other one does, by the rules of the comparison. */
    toAnswerLike(wanted: SideAnswer, options?: LikeOptions): R;
    /** Both sides answer this scenario alike and leave the same behind. */
    toRunAlike(comparing: Comparing, tokens?: Tokens): Promise<void>;
  }
}
