import type { StackAddresses } from '@strangler/stack/addresses.ts';

/** What a phase needs before it can run. */
export type Needs = 'nothing' | 'mysql' | 'mariadb';

/** One step of the whole test run. */
export type Phase = {
  name: string;
  needs: Needs;
} & (
  | { kind: 'check'; program: string; args: string[] }
  /** Asks the registry for known faults of the packages. */
  | { kind: 'audit' }
  | {
      kind: 'jest';
      project: string;
      /** Test files at a time, where it runs alone. */
      workers: number;
      /** The phase beside which it runs, where that runs too: each then has one test file at a time. */
      beside?: string;
      /** Files that it leaves out where no path is named, as a regular expression over their paths. */
      without?: string;
    }
);

const folders = ['platform', 'monolith', 'extracted', 'strangler-proxy', 'migrations', 'stack', 'e2e', 'bench'];

export const checkPhases: Phase[] = [
  { name: 'types', kind: 'check', needs: 'nothing', program: 'tsc', args: ['-p', '.'] },
  { name: 'lint', kind: 'check', needs: 'nothing', program: 'biome', args: ['check', '--error-on-warnings', '.'] },
  {
    name: 'boundaries',
    kind: 'check',
    needs: 'nothing',
    program: 'depcruise',
    args: ['--config', '.dependency-cruiser.mjs', ...folders],
  },
];

/** In the order in which they are told of, and run: what is cheap and tells most comes first. */
export const allPhases: Phase[] = [
  ...checkPhases,
  { name: 'audit', kind: 'audit', needs: 'nothing' },
  { name: 'unit', kind: 'jest', project: 'unit', needs: 'nothing', workers: 2 },
  { name: 'integration', kind: 'jest', project: 'integration', needs: 'mysql', workers: 2 },
  {
    name: 'data',
    kind: 'jest',
    project: 'data',
    needs: 'mysql',
    workers: 2,
    // A coordinator killed after each line of its journal takes minutes; the soak of cut-overs kills some of them.
    without: 'engine/cutover/killed',
  },
  // Everything of the kit that stands on the engine; of the example every schema, the shop's seed, the catalogue on both
  // sides, and the copy of each slice. What the shop and its other services do with their rows is the same SQL on both.
  {
    name: 'data-mariadb',
    kind: 'jest',
    project: 'data',
    needs: 'mariadb',
    workers: 2,
    without: [
      'monolith/(modules/(?!catalogue)|events|jobs|session-writer)',
      'extracted/(inventory|notifications|orders|payments)/(?!migrations/)',
      // Answers held against what is written of them, and against the other side's.
      'openapi(-contract)?.data',
      'e2e/parity/[a-z]+-contract',
      'engine/cutover/killed',
      // Processes and commands, whose work on the engine is tested where it is done.
      'migrations/cli/',
      'migrations/applier/(applier|reverse).data',
      // Taken through on this engine too by the cut-over, there and back.
      'migrations/engine/stages/(stages|leave-sync)',
      'platform/outbox/relay/(process|faults)',
      'e2e/seams',
    ].join('|'),
  },
  // The demo's whole story goes where its other scenarios go; these are run by naming them.
  {
    name: 'e2e',
    kind: 'jest',
    project: 'e2e',
    needs: 'mysql',
    workers: 1,
    beside: 'integration',
    without: 'e2e/demo/(flags|pipe|compare|inventory)',
  },
];

/** What the command line asks for. */
export type Selection = { phases: Phase[]; paths: string[] };

export class UsageError extends Error {
  override name = 'UsageError';
}

/**
 * `--only NAME[,NAME]` picks phases, in their own order; any other word is part of a test file's path, and leaves
 * only the phases that run test files. Throws UsageError.
 */
export function select(args: readonly string[], phases: readonly Phase[] = allPhases): Selection {
  const names: string[] = [];
  const paths: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? '';
    if (arg === '--only') names.push(...(args[++index] ?? '').split(','));
    else if (arg.startsWith('--only=')) names.push(...arg.slice('--only='.length).split(','));
    else if (arg.startsWith('-')) throw new UsageError(`no such option: ${arg}`);
    else paths.push(arg);
  }
  const unknown = names.filter((name) => !phases.some((phase) => phase.name === name));
  if (unknown.length > 0) {
    throw new UsageError(
      `no such phase: ${unknown.join(', ') || '(empty)'}; there are ${phases.map(({ name }) => name).join(', ')}`,
    );
  }
  const wanted = phases.filter(
    (phase) => (names.length === 0 || names.includes(phase.name)) && (paths.length === 0 || phase.kind === 'jest'),
  );
  return { phases: wanted, paths };
}

/** Jest's arguments for a phase. Paths come behind an option of their own: `--selectProjects` would swallow them. */
export function jestArguments(
  phase: Phase & { kind: 'jest' },
  { paths, outputFile, workers }: { paths: readonly string[]; outputFile: string; workers: number },
): string[] {
  return [
    '--selectProjects',
    phase.project,
    `--maxWorkers=${workers}`,
    '--json',
    `--outputFile=${outputFile}`,
    ...(paths.length > 0 ? [] : leftOut(phase)),
    ...(paths.length > 0 ? ['--passWithNoTests', '--testPathPatterns', ...paths] : []),
  ];
}

/** Jest's arguments to name a phase's test files instead of running them. */
export function listArguments(phase: Phase & { kind: 'jest' }, paths: readonly string[]): string[] {
  const { project } = phase;
  return ['--listTests', '--selectProjects', project, '--passWithNoTests', '--testPathPatterns', ...paths];
}

/** Of this option the last word is the option's: others that follow need an option of their own. */
const leftOut = ({ without }: { without?: string }): string[] =>
  without === undefined ? [] : ['--testPathIgnorePatterns', without, '/node_modules/', '/\\.stack/'];

/** Of the databases of a test run: commits reach the operating system at once, the disk within a second. */
export const FLUSH_LOG_AT_COMMIT = '2';

/**
 * The phases step by step; those of a step run side by side. Never more than two test files at a time: each starts processes of its own,
 * and what a busy machine makes late runs into the product's own bounds, not only into a test's.
 */
export function stepsOf(phases: readonly Phase[]): Phase[][] {
  const steps = new Map<string, Phase[]>();
  for (const phase of phases) {
    const beside = phase.kind === 'jest' ? steps.get(phase.beside ?? '') : undefined;
    if (beside === undefined) steps.set(phase.name, [phase]);
    else beside.push(phase);
  }
  return [...steps.values()];
}

/** How many test files a phase may run at a time beside the others of its step. */
export const workersIn = (step: readonly Phase[], { workers }: Phase & { kind: 'jest' }): number =>
  step.length > 1 ? 1 : workers;

/** The environment of a phase's tests: which servers are theirs. */
export function phaseEnvironment(
  servers: { instance: string; addresses: StackAddresses } | undefined,
): Record<string, string> {
  return {
    NODE_OPTIONS: '',
    // A server that is killed loses nothing by it, only a machine would; tests commit small things all the time.
    STACK_FLUSH_LOG_AT_COMMIT: process.env.STACK_FLUSH_LOG_AT_COMMIT ?? FLUSH_LOG_AT_COMMIT,
    FORCE_COLOR: '0',
    ...(servers === undefined
      ? {}
      : { TEST_STACK: JSON.stringify(servers.addresses), TEST_STACK_INSTANCE: servers.instance }),
  };
}
