import { describe, expect, test } from '@jest/globals';
import type { Outcome, ShadowSummary } from '@strangler/platform/shadow-report/entry.ts';
import fc from 'fast-check';
import { standingGates } from './gates.ts';
import { type ComparisonFigures, judgeComparison, judgeForgotten } from './shadow-gate.ts';

const none: Record<Outcome, number> = {
  same: 0,
  ignored: 0,
  noise: 0,
  lag: 0,
  racing: 0,
  accepted: 0,
  different: 0,
  failed: 0,
  skipped: 0,
};
const summary = (more: Partial<ShadowSummary> = {}): ShadowSummary => ({
  comparisons: 1_000,
  outcomes: { ...none, same: 1_000 },
  first: new Date(0),
  last: new Date(1),
  groups: 0,
  unexplained: 0,
  unlisted: 0,
  ...more,
});
const cell = (clean = 20, seen = clean) => ({ name: 'GET /a 2xx', endpoint: 'GET /a', clean, seen });
const bounds = { samples: 500, mismatches: 0, perCell: 20 };
const judge = (report: ComparisonFigures['report'], of: Partial<ComparisonFigures> = {}) =>
  judgeComparison({ slice: 'shop', bounds, report, ...of });
const shut = (report: ComparisonFigures['report']) =>
  judge(report)
    .filter(({ state }) => state === 'shut')
    .map(({ gate }) => gate);

describe('the gate into canary', () => {
  test('asks nothing of a slice whose answers are not compared', () => {
    expect(judge(null, { bounds: null })).toEqual([]);
  });

  test('is open when enough was compared, of each kind, and nothing differs unexplained', () => {
    expect(shut({ summary: summary(), cells: [cell()] })).toEqual([]);
    expect(judge({ summary: summary(), cells: [cell()] }).map(({ found }) => found)).toEqual([
      '1,000 comparisons',
      'all 1 kinds of answers seen',
      '0 unexplained',
    ]);
  });

  test('is shut while Redis is away, and says so', () => {
    const [verdict, ...others] = judge(null);
    expect(others).toEqual([]);
    expect(verdict).toMatchObject({ gate: 'samples', state: 'shut', forcible: true });
    expect(verdict!.found).toContain('Redis');
    expect(verdict!.todo).toContain('--redis');
  });

  test('neither passes nor fails without traffic, and lists the routes that lack it', () => {
    const cells = [cell(0), { ...cell(0), name: 'GET /b 2xx', endpoint: 'GET /b' }];
    const [verdict, ...others] = judge({ summary: summary({ comparisons: 0, outcomes: none }), cells });
    expect(others).toEqual([]);
    expect(verdict).toMatchObject({ state: 'shut', found: 'no traffic, which neither passes nor fails' });
    expect(verdict!.todo).toContain('nothing was compared of GET /a, GET /b');
  });

  test('takes what no side answered for no comparison', () => {
    const failed = summary({ comparisons: 600, outcomes: { ...none, failed: 599, same: 1 } });
    const [verdict] = judge({ summary: failed, cells: [cell()] });
    expect(verdict).toMatchObject({ state: 'shut', found: '1 comparisons, beside 599 that a side gave no answer to' });
  });

  test.each<[string, Parameters<typeof summary>[0], ReturnType<typeof cell>]>([
    ['samples', { comparisons: 499 }, cell()],
    ['coverage', {}, cell(19)],
    ['coverage', {}, cell(0, 50)],
    ['mismatches', { unexplained: 1 }, cell()],
  ])('is shut by %s alone: %j %j', (gate, figures, one) => {
    const report = { summary: summary(figures), cells: [cell(), one] };
    expect(shut(report)).toEqual([gate]);
    expect(judge(report).find((verdict) => verdict.gate === gate)?.todo).toContain('strangler shadow');
  });

  test('names the kinds that lack, and not more than one can read', () => {
    const cells = Array.from({ length: 30 }, (_, n) => ({
      ...cell(n % 2),
      name: `GET /${n} 2xx`,
      endpoint: `GET /${n}`,
    }));
    const coverage = judge({ summary: summary(), cells }).find(({ gate }) => gate === 'coverage')!;
    expect(coverage.found).toMatch(
      /^30 of 30 kinds of answers lack some: GET \/0 2xx \(0\), GET \/1 2xx \(1\).* and 26 more$/,
    );
  });

  test('can be forced: no write depends on it', () => {
    expect(standingGates(judge(null), true)).toEqual([]);
  });

  test('does not open by worse figures', () => {
    const figures = fc.record({ comparisons: fc.nat(1_000), unexplained: fc.nat(3), clean: fc.nat(40) });
    const of = ({ comparisons, unexplained, clean }: { comparisons: number; unexplained: number; clean: number }) =>
      shut({ summary: summary({ comparisons, unexplained }), cells: [cell(clean)] });
    fc.assert(
      fc.property(figures, figures, (one, more) => {
        const worse = {
          comparisons: Math.max(1, one.comparisons - more.comparisons),
          unexplained: one.unexplained + more.unexplained,
          clean: Math.max(0, one.clean - more.clean),
        };
        fc.pre(one.comparisons > 0);
        expect(of(worse)).toEqual(expect.arrayContaining(of(one)));
      }),
    );
  });
});

describe('the gate into shadow', () => {
  test('is open once nothing of an earlier comparison is left, whether there was any or not', () => {
    expect([true, false].map((forgotten) => judgeForgotten(forgotten).state)).toEqual(['open', 'open']);
    expect(judgeForgotten(true).found).toMatch(/forgotten/);
  });

  test('is shut while nobody can say what is left, and may be forced', () => {
    expect(judgeForgotten(undefined)).toMatchObject({ state: 'shut', forcible: true });
    expect(judgeForgotten(undefined).todo).toContain('--redis');
  });
});
