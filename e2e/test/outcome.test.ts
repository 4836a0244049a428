import { describe, expect, test } from '@jest/globals';
import { countJest, exitCodeOf, formatCount, formatTable, type JestReport, type Outcome } from './outcome.ts';

const report = (more: Partial<JestReport>): JestReport => ({
  numPassedTests: 0,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  numRuntimeErrorTestSuites: 0,
  ...more,
});
const outcome = (name: string, passed: number, failed: number): Outcome => ({
  name,
  passed,
  failed,
  skipped: 0,
  seconds: 1.26,
});

describe('a run of Jest', () => {
  test('counts what passed, failed and was left out', () => {
    const counts = countJest(
      report({ numPassedTests: 5, numFailedTests: 2, numPendingTests: 1, numTodoTests: 1 }),
      1,
      false,
    );
    expect(counts).toEqual({ passed: 5, failed: 2, skipped: 2 });
  });

  test('counts a file that could not be loaded as a failed test', () => {
    expect(countJest(report({ numPassedTests: 5, numRuntimeErrorTestSuites: 1 }), 1, false)).toMatchObject({
      passed: 5,
      failed: 1,
    });
  });

  test('fails when no test ran, unless only a part was asked for', () => {
    expect(countJest(report({}), 0, false)).toMatchObject({ failed: 1, note: 'no test ran' });
    expect(countJest(report({ numPendingTests: 3 }), 0, false)).toMatchObject({ failed: 1 });
    expect(countJest(report({}), 0, true)).toMatchObject({ failed: 0 });
  });

  test('fails when it ended badly although no test failed, or was killed, or wrote no report', () => {
    expect(countJest(report({ numPassedTests: 5 }), 1, false)).toMatchObject({
      passed: 5,
      failed: 1,
      note: 'jest ended with 1',
    });
    expect(countJest(report({ numPassedTests: 5 }), null, false)).toMatchObject({ failed: 1 });
    expect(countJest(undefined, 0, false)).toMatchObject({ failed: 1 });
  });
});

describe('a whole run', () => {
  test('ends with the sum, alone on its line', () => {
    expect(formatCount([outcome('types', 1, 0), outcome('unit', 41, 2)])).toBe('42 passed, 2 failed');
  });

  test('succeeds only when something passed and nothing failed', () => {
    expect(exitCodeOf([outcome('types', 1, 0), outcome('unit', 41, 0)])).toBe(0);
    expect(exitCodeOf([outcome('types', 1, 0), outcome('unit', 41, 1)])).toBe(1);
    expect(exitCodeOf([outcome('unit', 0, 0)])).toBe(1);
    expect(exitCodeOf([])).toBe(1);
    expect(exitCodeOf([{ ...outcome('audit', 0, 0), excused: true }])).toBe(0);
    expect(exitCodeOf([{ ...outcome('audit', 0, 0), excused: true }, outcome('unit', 1, 1)])).toBe(1);
  });

  test('is shown a phase a line, with its note', () => {
    const table = formatTable([outcome('unit', 41, 0), { ...outcome('e2e', 0, 1), note: 'no test ran' }]);
    expect(table.split('\n')).toEqual([
      'phase   passed   failed  skipped  seconds',
      'unit        41        0        0      1.3',
      'e2e          0        1        0      1.3  no test ran',
    ]);
  });
});
