import type { ShadowBounds } from '@strangler/platform/contracts/slice-compare.ts';
import type { ShadowSummary } from '@strangler/platform/shadow-report/entry.ts';
import type { Verdict } from './gates.ts';

/** How many clean comparisons one kind of answer has, of those that a slice's routes give. */
export type CoveredCell = {
  /** "GET /api/products/:id 2xx". */
  name: string;
  endpoint: string;
  clean: number;
  seen: number;
};

/** What the comparison of live answers shows. */
export type ComparisonFigures = {
  slice: string;
  /** null: the slice file asks for no comparison, and the gate for nothing. */
  bounds: ShadowBounds | null;
  /** null: Redis does not answer, so nothing is known. */
  report: { summary: ShadowSummary; cells: readonly CoveredCell[] } | null;
};

const mostNamed = 4;

/** The gate into `shadow`, as far as it is about answers. `forgotten`: whether there was anything; undefined: Redis does not answer. */
export const judgeForgotten = (forgotten: boolean | undefined): Verdict => ({
  gate: 'report',
  state: forgotten === undefined ? 'shut' : 'open',
  found:
    forgotten === undefined
      ? 'unknown: Redis, where the report of compared answers is, does not answer'
      : forgotten
        ? 'begun anew: what was compared before is forgotten'
        : 'empty',
  bound: 'nothing of before',
  todo: forgotten === undefined ? redisTodo : null,
  forcible: true,
});

const redisTodo = 'see that Redis runs, and name it with --redis or $REDIS_URL: the one that the proxies write to';

/**
 * The gate into `canary`, as far as it is about answers: enough of them compared, each kind of them, and none that differs
 * without somebody having said why. No traffic is no proof of anything: the gate stays shut and says what lacks.
 */
export const judgeComparison = ({ slice, bounds, report }: ComparisonFigures): Verdict[] => {
  if (bounds === null) return [];
  if (report === null) {
    return [
      {
        gate: 'samples',
        state: 'shut',
        found: 'nothing: Redis, where the report of compared answers is, does not answer',
        bound: `at least ${bounds.samples} comparisons`,
        todo: redisTodo,
        forcible: true,
      },
    ];
  }
  const { summary, cells } = report;
  const compared = summary.comparisons - summary.outcomes.failed - summary.outcomes.skipped;
  const lacking = cells.filter(({ clean }) => clean < bounds.perCell);
  const routes = [...new Set(lacking.map(({ endpoint }) => endpoint))];
  if (compared === 0) {
    return [
      {
        gate: 'samples',
        state: 'shut',
        found: `no traffic, which neither passes nor fails${sayFailed(summary)}`,
        bound: `at least ${bounds.samples} comparisons`,
        todo: `nothing was compared of ${some(routes, ', ')}: see that the proxies shadow ${slice} (stage shadow, REDIS_URL set), or make requests with "strangler shadow drive ${slice}"`,
        forcible: true,
      },
    ];
  }
  return [
    {
      gate: 'samples',
      state: compared >= bounds.samples ? 'open' : 'shut',
      found: `${count(compared)} comparisons${sayFailed(summary)}`,
      bound: `at least ${count(bounds.samples)} comparisons`,
      todo:
        compared >= bounds.samples ? null : `wait for traffic, or make requests with "strangler shadow drive ${slice}"`,
      forcible: true,
    },
    {
      gate: 'coverage',
      state: lacking.length === 0 ? 'open' : 'shut',
      found:
        lacking.length === 0
          ? `all ${cells.length} kinds of answers seen`
          : `${lacking.length} of ${cells.length} kinds of answers lack some: ${some(
              lacking.map(({ name, clean, seen }) => `${name} (${clean}${seen > clean ? ` of ${seen}` : ''})`),
              ', ',
            )}`,
      bound: `at least ${bounds.perCell} comparisons without a difference of each kind`,
      todo: lacking.length === 0 ? null : `"strangler shadow drive ${slice}" makes requests for ${some(routes, ', ')}`,
      forcible: true,
    },
    {
      gate: 'mismatches',
      state: summary.unexplained <= bounds.mismatches ? 'open' : 'shut',
      found: `${count(summary.unexplained)} unexplained`,
      bound: `at most ${bounds.mismatches}`,
      todo:
        summary.unexplained <= bounds.mismatches
          ? null
          : `"strangler shadow report ${slice}" groups them; mend the service and "strangler shadow reset ${slice}", or "strangler shadow accept ${slice} <group> --reason …"`,
      forcible: true,
    },
  ];
};

const count = (n: number): string => n.toLocaleString('en-US');

const sayFailed = ({ outcomes }: ShadowSummary): string => {
  const parts = [
    ...(outcomes.failed > 0 ? [`${count(outcomes.failed)} that a side gave no answer to`] : []),
    ...(outcomes.skipped > 0 ? [`${count(outcomes.skipped)} skipped`] : []),
  ];
  return parts.length === 0 ? '' : `, beside ${parts.join(' and ')}`;
};

const some = (names: readonly string[], between: string): string => {
  const shown = names.slice(0, mostNamed).join(between);
  return names.length > mostNamed ? `${shown} and ${names.length - mostNamed} more` : shown;
};
