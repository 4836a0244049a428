import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import type { Command } from 'commander';
import { loadApiDescription } from '../openapi/load-description.ts';
import { type ApiOperation, describes } from '../openapi/operation.ts';
import { ApiDescriptionError } from '../openapi/place.ts';
import { type FoundReport, type FuzzReport, fuzz } from '../parity/fuzz/fuzz.ts';
import type { KnownIds } from '../parity/fuzz/memory.ts';
import type { Running } from '../parity/fuzz/run-plan.ts';
import { runScenario } from '../parity/run-scenario.ts';
import { loadScenario } from '../parity/scenario.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { timeSpanMs, wholeNumber } from './option-values.ts';
import { type Parity, type ParityOptions, withParity, withParityOptions } from './parity-options.ts';
import { formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';

type FuzzCommandOptions = ParityOptions & {
  openapi?: string;
  only?: string;
  known: readonly string[];
  seed?: string;
  runs: string;
  steps: string;
  within?: string;
  save?: string;
  json?: boolean;
};

/** `strangler fuzz` and `strangler parity`. */
export const addParityCommands = (program: Command, terminal: Terminal): void => {
  withParityOptions(program.command('fuzz'))
    .description(
      'send made-up sequences of requests, good and bad, to both sides and tell the first thing that they do not do alike, as short as it gets',
    )
    .option('--openapi <file or url>', 'the OpenAPI 3 description that requests are made from')
    .option('--only <prefix>', 'try only paths that begin with it')
    .option(
      '--known <path=ids>',
      'ids of things that no list tells of, such as /api/inventory=1,2,3; once a path',
      (one: string, before: readonly string[]) => [...before, one],
      [] as readonly string[],
    )
    .option('--seed <number>', 'the same seed makes the same requests (default: by the clock)')
    .option('--runs <count>', 'sequences at most', '200')
    .option('--steps <count>', 'steps of a sequence at most', '30')
    .option('--within <time>', 'begin no new sequence after this time')
    .option('--save <folder>', 'write what is found there as a scenario that "strangler parity" runs')
    .option('--json', 'print the report as JSON')
    .action(async (options: FuzzCommandOptions) => {
      const how = {
        seed: options.seed === undefined ? Date.now() % 1_000_000_000 : wholeNumber('--seed', options.seed, 0, 2 ** 31),
        runs: wholeNumber('--runs', options.runs, 1, 1_000_000),
        stepsPerRun: wholeNumber('--steps', options.steps, 1, 1_000),
        withinMs: options.within === undefined ? null : timeSpanMs('--within', options.within),
      };
      const { openapi } = options;
      if (openapi === undefined) throw new CliError('expected --openapi <file or url>, found none', exitCodes.usage);
      const known = knownOf(options.known);
      await withParity(options, terminal, async (parity) => {
        const described = await describedBy(openapi);
        const operations = described.filter((operation) => isWanted(operation, parity.slice, options.only));
        if (operations.length === 0) {
          throw new CliError(
            `--openapi: expected operations of ${wantedOf(parity.slice, options.only)} in ${openapi}, found none among its ${described.length}`,
            exitCodes.usage,
          );
        }
        const report = await runFuzz({ operations, known }, parity, how, terminal, options.json === true);
        const file = report.found && options.save !== undefined ? await save(report.found, options.save) : null;
        tell(report, { file, isReset: parity.reset !== undefined, json: options.json === true }, terminal);
        if (report.found) throw new CliError(`the two sides differ: ${shortened(report.found.paths)}`);
        if (terminal.signal.aborted)
          throw new CliError('stopped before every sequence was tried', exitCodes.interrupted);
      });
    });

  withParityOptions(program.command('parity <scenario...>'))
    .description('run scenarios from files on both sides, step by step, and tell what they do not do alike')
    .option('--json', 'print one result a line as JSON')
    .action(async (files: readonly string[], options: ParityOptions & { json?: boolean }) => {
      await withParity(options, terminal, async ({ comparing, tokens, reset }) => {
        const different: string[] = [];
        for (const file of files) {
          const scenario = await loadScenario(file);
          await reset?.();
          const run = await runScenario(scenario, comparing, tokens);
          if (run.outcome === 'different') different.push(file);
          if (options.json) terminal.out(JSON.stringify({ file, name: scenario.name, ...run }));
          else
            terminal.out(
              run.outcome === 'same'
                ? `same       ${file} (${run.requests} requests)`
                : `different  ${file}\n${run.text}`,
            );
        }
        if (different.length > 0) throw new CliError(`${different.length} of ${files.length} scenarios differ`);
      });
    });
};

const shortened = (paths: readonly string[]): string =>
  paths.length <= 5 ? paths.join(', ') : `${paths.slice(0, 4).join(', ')} and ${paths.length - 4} more`;

/** @throws CliError: with the exit status of a difference it would be taken for one */
const describedBy = async (openapi: string): Promise<ApiOperation[]> => {
  try {
    return await loadApiDescription(openapi);
  } catch (error) {
    if (!(error instanceof ApiDescriptionError)) throw error;
    throw new CliError(`--openapi: ${error.message}`, exitCodes.usage);
  }
};

const isWanted = (operation: ApiOperation, slice: Slice | undefined, only: string | undefined): boolean => {
  if (only !== undefined && !operation.path.startsWith(only)) return false;
  return slice === undefined || slice.routes.some((route) => describes(operation, route));
};

const wantedOf = (slice: Slice | undefined, only: string | undefined): string =>
  [
    ...(slice === undefined ? ['any route'] : [`the routes of ${slice.slice}`]),
    ...(only === undefined ? [] : [`paths that begin with ${only}`]),
  ].join(', ');

/** @throws CliError for what is not a path with ids */
const knownOf = (given: readonly string[]): KnownIds =>
  Object.fromEntries(
    given.map((one) => {
      const [, path, ids] = /^(\/[^=]*)=([\w.-]+(?:,[\w.-]+)*)$/.exec(one) ?? [];
      if (path !== undefined && ids !== undefined) return [path, ids.split(',')];
      throw new CliError(`--known: expected /path=id,id, found "${one}"`, exitCodes.usage);
    }),
  );

const runFuzz = async (
  tried: Pick<Running, 'operations' | 'known'>,
  { comparing, tokens, reset }: Parity,
  how: { seed: number; runs: number; stepsPerRun: number; withinMs: number | null },
  terminal: Terminal,
  quiet: boolean,
): Promise<FuzzReport> => {
  const running = { ...comparing, ...tried, tokens, reset: reset ?? (async () => {}), refused: new Map() };
  return await fuzz({
    running,
    ...how,
    // What is tried again from other data is another sequence.
    ...(reset === undefined ? { mostTries: 0 } : {}),
    signal: terminal.signal,
    onRun: ({ run, steps }) => {
      if (!quiet && run % 25 === 0) terminal.err(`${run} of ${how.runs} sequences, ${steps} requests to each side`);
    },
    onFound: ({ differences }) => {
      if (!quiet && reset !== undefined) terminal.err(`found ${differences[0]?.path}; making it short`);
    },
  });
};

const save = async (found: FoundReport, folder: string): Promise<string> => {
  await mkdir(folder, { recursive: true });
  const name = found.scenario.name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 80);
  const file = join(folder, `${name}.json`);
  await writeFile(file, `${JSON.stringify(found.scenario, null, 2)}\n`);
  return file;
};

const tell = (
  report: FuzzReport,
  { file, isReset, json }: { file: string | null; isReset: boolean; json: boolean },
  terminal: Terminal,
): void => {
  if (json) {
    terminal.out(JSON.stringify({ ...report, file }));
    return;
  }
  const { seed, runs, steps, coverage, found } = report;
  terminal.out(`${steps} requests in ${runs} sequences to each side, seed ${seed}`);
  terminal.out(
    formatTable(
      ['OPERATION', 'ANSWERS OF THE LEFT SIDE'],
      Object.entries(coverage)
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([operation, statuses]) => [
          operation,
          Object.entries(statuses)
            .map(([status, count]) => `${status}: ${count}`)
            .join('  '),
        ]),
    ),
  );
  if (found === null) {
    terminal.out('no difference');
    return;
  }
  const { steps: shown } = found.scenario;
  terminal.out(
    `\nfound in sequence ${found.run}, ${shown.length} ${shown.length === 1 ? 'step shows' : 'steps show'} it:`,
  );
  for (const [at, { method, path, as }] of shown.entries()) {
    terminal.out(`  ${at + 1}. ${method} ${path}${as === undefined ? '' : ` as ${as}`}`);
  }
  terminal.out(`\n${found.text}`);
  if (!isReset) terminal.out('not made shorter: without --reset no sequence can be tried again from the same data');
  if (file !== null) terminal.out(`saved: strangler parity ${file} runs it again`);
};
