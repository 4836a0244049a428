/** How a phase went. */
export type Outcome = {
  name: string;
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  note?: string;
  /** Nothing of it could be run here, and nobody is to blame. */
  excused?: true;
};

/** As far as it is read, what Jest writes with --json. */
export type JestReport = {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  /** Files whose tests could not be run at all. */
  numRuntimeErrorTestSuites: number;
};

/**
 * Counts a Jest run. A file that could not be loaded counts as one failed test, and so does a run that ended badly
 * although no test of it failed, one that left no report, and, unless `mayBeEmpty`, one without any test.
 */
export function countJest(
  report: JestReport | undefined,
  exitCode: number | null,
  mayBeEmpty: boolean,
): Omit<Outcome, 'name' | 'seconds'> {
  if (report === undefined) return { passed: 0, failed: 1, skipped: 0, note: 'no report was written' };
  const passed = report.numPassedTests;
  const failed = report.numFailedTests + report.numRuntimeErrorTestSuites;
  const skipped = report.numPendingTests + report.numTodoTests;
  if (passed + failed === 0 && !mayBeEmpty) return { passed, failed: 1, skipped, note: 'no test ran' };
  if (exitCode !== 0 && failed === 0)
    return { passed, failed: 1, skipped, note: `jest ended with ${exitCode ?? 'a signal'}` };
  return { passed, failed, skipped };
}

/** A short table of all phases, for people. */
export function formatTable(outcomes: readonly Outcome[]): string {
  const width = Math.max(5, ...outcomes.map(({ name }) => name.length));
  const row = (name: string, ...figures: string[]): string =>
    `${name.padEnd(width)}${figures.map((figure) => figure.padStart(9)).join('')}`;
  return [
    row('phase', 'passed', 'failed', 'skipped', 'seconds'),
    ...outcomes.map(({ name, passed, failed, skipped, seconds, note }) =>
      [row(name, String(passed), String(failed), String(skipped), seconds.toFixed(1)), note].filter(Boolean).join('  '),
    ),
  ].join('\n');
}

/** The last line of a run. */
export function formatCount(outcomes: readonly Outcome[]): string {
  const sum = (figure: (outcome: Outcome) => number): number =>
    outcomes.reduce((total, outcome) => total + figure(outcome), 0);
  return `${sum(({ passed }) => passed)} passed, ${sum(({ failed }) => failed)} failed`;
}

/** 0 only when something ran, or is excused, and nothing failed. */
export function exitCodeOf(outcomes: readonly Outcome[]): number {
  const failed = outcomes.some((outcome) => outcome.failed > 0);
  return !failed && outcomes.some(({ passed, excused }) => passed > 0 || excused === true) ? 0 : 1;
}
