import { defaultCompare, type SliceCompare } from '../contracts/slice-compare.ts';
import type { ComparedAnswer } from './answer.ts';
import { compareAnswers, type Difference } from './compare-answers.ts';
import type { IdentityMap } from './identities.ts';
import { compileRules } from './rules.ts';

/** An answer of 200 with a JSON body, and whatever else is given. */
export const answering = (value: unknown, more: Partial<ComparedAnswer> = {}): ComparedAnswer => ({
  status: 200,
  headers: [],
  body: { kind: 'json', value },
  latencyMs: 1,
  effects: null,
  ...more,
});

export const rulesOf = (compare: Partial<SliceCompare> = {}, endpoint?: string) =>
  compileRules({ ...defaultCompare, ...compare }, endpoint);

/** What differs between two JSON bodies. */
export const differencesOf = (
  monolith: unknown,
  service: unknown,
  compare: Partial<SliceCompare> = {},
  identities?: IdentityMap,
): Difference[] => compareAnswers(answering(monolith), answering(service), rulesOf(compare), identities).differences;

/** The same as `kind path`. */
export const tellDifferences = (...given: Parameters<typeof differencesOf>): string[] =>
  differencesOf(...given).map(({ kind, path }) => `${kind} ${path}`);
