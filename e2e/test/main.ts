import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot, stackHome } from '@strangler/stack/home/paths.ts';
import { withLock } from '@strangler/stack/process/lock.ts';
import { runCommand } from '@strangler/stack/process/run.ts';
import { audit } from '../audit/audit.ts';
import { countJest, exitCodeOf, formatCount, formatTable, type JestReport, type Outcome } from './outcome.ts';
import {
  allPhases,
  jestArguments,
  listArguments,
  type Phase,
  phaseEnvironment,
  type Selection,
  select,
  stepsOf,
  UsageError,
  workersIn,
} from './phases.ts';
import { runProgram, TimeUpError } from './run-program.ts';
import { createTestServers, type TestServers } from './test-servers.ts';

const usage = `Usage: npm test -- [--only <phase>[,<phase>]] [<part of a test file's path> …]

Runs everything, on real servers of its own, and takes them down again. Phases, the last beside the
integration tests:
  ${allPhases.map(({ name }) => name).join(', ')}`;

/** Long enough for a slow machine with other things to do: what hangs is ended by its test's own limit. */
const PHASE_TIMEOUT_MS = 40 * 60_000;

/** What a test that was interrupted had begun ends by itself in this time: a start of the whole example, at most. */
const LEFT_WITHIN_MS = 60_000;

async function runPhase(
  phase: Phase,
  step: readonly Phase[],
  paths: string[],
  servers: TestServers,
  folder: string,
  signal: AbortSignal,
): Promise<Outcome> {
  console.log(`\n— ${phase.name}`);
  const started = performance.now();
  const outcome = (counts: Omit<Outcome, 'name' | 'seconds'>): Outcome => ({
    name: phase.name,
    ...counts,
    seconds: (performance.now() - started) / 1000,
  });
  try {
    if (phase.kind === 'check') {
      const code = await runProgram(phase.program, phase.args, { env: {}, timeoutMs: PHASE_TIMEOUT_MS, signal });
      return outcome({ passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 });
    }
    if (phase.kind === 'audit') return outcome(await audit(signal));
    const own = await servers.of(phase.needs);
    const outputFile = join(folder, `${phase.name}.json`);
    const args = jestArguments(phase, { paths, outputFile, workers: workersIn(step, phase) });
    let passed = 0;
    const code = await runProgram('jest', args, {
      env: phaseEnvironment(own),
      timeoutMs: PHASE_TIMEOUT_MS,
      signal,
      onError(text) {
        passed += text.match(/^PASS /gm)?.length ?? 0;
      },
    }).catch((error: Error) => {
      if (!(error instanceof TimeUpError)) throw error;
      throw new Error(`phase ${phase.name}: ${error.message}; ${passed} test files had passed by then`);
    });
    return outcome(countJest(readReport(outputFile), code, paths.length > 0));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    console.log(message);
    return outcome({ passed: 0, failed: 1, skipped: 0, note: message.split('\n')[0] ?? '' });
  }
}

/** The phases for which there is a test file under one of the paths: no server is brought up for the others. */
async function withTests(phases: readonly Phase[], paths: readonly string[]): Promise<Phase[]> {
  const found = await Promise.all(
    phases.map(async (phase) => {
      if (phase.kind !== 'jest') return [];
      const args = [join(repositoryRoot, 'node_modules/.bin/jest'), ...listArguments(phase, paths)];
      const command = { file: process.execPath, args, cwd: repositoryRoot, env: phaseEnvironment(undefined) };
      const { code, stdout, stderr } = await runCommand(command, { timeoutMs: 60_000 });
      if (code !== 0) throw new Error(`jest could not list its tests: ${stderr.trim()}`);
      // It also says which project it runs.
      return stdout.split('\n').some((line) => line.startsWith('/')) ? [phase] : [];
    }),
  );
  if (found.flat().length === 0) throw new UsageError(`no test file has ${paths.join(' or ')} in its path`);
  return found.flat();
}

function readReport(file: string): JestReport | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as JestReport;
  } catch {
    return undefined;
  }
}

async function runAll({ phases: asked, paths }: Selection, signal: AbortSignal): Promise<number> {
  const phases = paths.length === 0 ? asked : await withTests(asked, paths);
  const folder = mkdtempSync(join(tmpdir(), 'strangler-test-'));
  const servers = createTestServers({ say: (line) => console.log(line), signal });
  const needServers = phases.some(({ needs }) => needs !== 'nothing');
  const ended = new Map<Phase, Outcome>();
  const run = async (phase: Phase, step: readonly Phase[]): Promise<void> => {
    ended.set(phase, await runPhase(phase, step, paths, servers, folder, signal));
  };
  try {
    if (needServers) await servers.clear();
    // They are installed and started while the phases that need none run.
    for (const needs of new Set(phases.map((phase) => phase.needs))) servers.of(needs).catch(() => {});
    for (const step of stepsOf(phases)) {
      if (signal.aborted) break;
      await Promise.all(step.map((phase) => run(phase, step)));
    }
  } finally {
    if (needServers) await servers.clear({ waitMs: LEFT_WITHIN_MS });
    rmSync(folder, { recursive: true, force: true });
  }
  const notRun = { passed: 0, failed: 1, skipped: 0, seconds: 0, note: 'not run: interrupted' };
  const outcomes = phases.map((phase) => ended.get(phase) ?? { name: phase.name, ...notRun });
  console.log(`\n${formatTable(outcomes)}\n`);
  console.log(formatCount(outcomes));
  return exitCodeOf(outcomes);
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(usage);
    return 0;
  }
  const selection = select(args);
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!controller.signal.aborted) console.log(`\n${signal}: ending the run and taking everything down`);
      controller.abort(new Error(`ended by ${signal}`));
    });
  }
  const { signal } = controller;
  if (selection.phases.every(({ needs }) => needs === 'nothing')) return await runAll(selection, signal);
  const lock = { waitMs: 0, what: 'the test run of this clone', signal };
  return await withLock(join(stackHome().run, 'npm-test.lock'), lock, () => runAll(selection, signal));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  if (error instanceof UsageError) console.error(usage);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
