import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import { redactAnswer, redactDifference } from '@strangler/platform/compare/redact.ts';
import { compileRules } from '@strangler/platform/compare/rules.ts';
import { serviceTokenHeader } from '@strangler/platform/contracts/headers.ts';
import { openKeyFolder } from '@strangler/platform/service-trust/key-folder.ts';
import type { Command } from 'commander';
import { comparedAnswer, type SentRequest, SideUnreachable, sideAt } from '../http/side.ts';
import { calibrate, proposeRules } from '../shadow/calibrate.ts';
import { drive } from '../shadow/drive.ts';
import { replay, replayedRequest } from '../shadow/replay.ts';
import { coverageOf, nameCell, wantedCells } from '../shadow/wanted-cells.ts';
import { CliError, exitCodes } from './exit-codes.ts';
import { timeSpanMs, wholeNumber } from './option-values.ts';
import {
  authorizationsOf,
  type CredentialOptions,
  describedOperation,
  httpAddress,
  type RedisOptions,
  readOperations,
  withRedisOption,
  withReport,
  withTokenOption,
} from './shadow-options.ts';
import { describeCalibrated, describeDifferences, drivenTable, proposalYaml } from './shadow-view.ts';
import { readSliceNamed, type SlicesOptions, withSlicesOption } from './slice-option.ts';
import { authorOf, type Terminal } from './terminal.ts';

type AskOptions = RedisOptions & SlicesOptions & CredentialOptions & { json?: boolean; timeout: string };
type ReplayOptions = AskOptions & { monolith?: string; service?: string };
type CalibrateOptions = AskOptions & { monolith?: string; openapi?: string; pairs: string; gap: string };
type DriveOptions = AskOptions & { proxy?: string; openapi?: string; writes?: boolean; rate: string; perCell?: string };

const defaultMonolith = 'http://127.0.0.1:3000';
const operatorTokenLifeMs = 60_000;
const defaultProxy = 'http://127.0.0.1:8080';

/** `strangler shadow replay | calibrate | drive`: what sends requests. */
export const addShadowAskCommands = (shadow: Command, terminal: Terminal): void => {
  const asking = (words: string): Command =>
    withTokenOption(withSlicesOption(shadow.command(words)))
      .option('--timeout <time>', 'how long a side may take to answer', '10s')
      .option('--json', 'print JSON');

  withRedisOption(asking('replay <slice> <id>'))
    .description('send the request of an example to both sides again and compare; GET and HEAD only')
    .option('--monolith <url>', `the monolith (default: $MONOLITH_URL, then ${defaultMonolith})`)
    .option('--service <url>', 'an instance of the service (default: $SERVICE_URL)')
    .action(async (name: string, id: string, options: ReplayOptions) => {
      const { slice } = await readSliceNamed(name, options, terminal);
      const monolith = httpAddress(
        '--monolith',
        options.monolith,
        'MONOLITH_URL',
        terminal.environment,
        defaultMonolith,
      );
      const service = httpAddress('--service', options.service, 'SERVICE_URL', terminal.environment);
      const timeoutMs = timeSpanMs('--timeout', options.timeout, 1);
      const [authorization] = authorizationsOf(options, terminal);
      const example = await withReport(options, terminal, (report) => report.example(name, id));
      if (example === null) {
        throw new CliError(
          `${name}: expected an example that is kept, found that "${id}" is none, or none any more; "strangler shadow report ${name}" lists them`,
        );
      }
      const request = replayedRequest(example.request, authorization === undefined ? {} : { authorization });
      const rules = compileRules(slice.compare, example.endpoint);
      const ask = (side: 'monolith' | 'service', url: string) => askAt(side, url, timeoutMs, terminal);
      const proof = await operatorProof(slice.service, terminal);
      const withProof = (sent: SentRequest): SentRequest => ({ ...sent, headers: { ...sent.headers, ...proof } });
      const askService = ask('service', service);
      const asks = { monolith: ask('monolith', monolith), service: (sent: SentRequest) => askService(withProof(sent)) };
      const replayed = await replay(request, asks, rules);
      const { differences, ignored } = replayed.comparison;
      const shown = differences.map((difference) => redactDifference(difference, rules));
      if (options.json) {
        terminal.out(
          JSON.stringify({
            slice: name,
            example: id,
            differences: shown,
            ignored,
            monolith: redactAnswer(replayed.monolith, rules),
            service: redactAnswer(replayed.service, rules),
          }),
        );
      } else {
        const hidden = ignored.map(({ rule, count }) => `${rule} (${count})`);
        terminal.out(
          [
            `${request.method} ${request.path}: monolith ${replayed.monolith.status}, service ${replayed.service.status}`,
            ...(example.role !== 'anonymous' && authorization === undefined
              ? [`it was sent by ${example.role} and is sent by nobody now: --token speaks for somebody`]
              : []),
            shown.length === 0 ? 'no difference' : describeDifferences(shown),
            ...(hidden.length === 0 ? [] : [`ignored: ${hidden.join(', ')}`]),
          ].join('\n'),
        );
      }
      if (shown.length > 0) {
        throw new CliError(
          `${name}: the answers differ in ${differences.length === 1 ? 'one place' : `${differences.length} places`}`,
        );
      }
    });

  asking('calibrate <slice>')
    .description(
      "ask the monolith everything twice, find what differs between its own answers, and print rules for the slice file's compare",
    )
    .option('--monolith <url>', `the monolith (default: $MONOLITH_URL, then ${defaultMonolith})`)
    .option('--openapi <file>', "OpenAPI description of the slice's routes (default: the slice file's)")
    .option('--pairs <count>', 'how often each route is asked twice', '20')
    .option('--gap <time>', 'between the two answers of a pair', '1s')
    .action(async (name: string, options: CalibrateOptions) => {
      const { slice, folder } = await readSliceNamed(name, options, terminal);
      const operations = await readOperations(slice, folder, options.openapi);
      const baseUrl = httpAddress(
        '--monolith',
        options.monolith,
        'MONOLITH_URL',
        terminal.environment,
        defaultMonolith,
      );
      const timeoutMs = timeSpanMs('--timeout', options.timeout, 1);
      const calibrated = await calibrate(
        slice.routes
          .filter(({ access, method }) => access === 'read' && method === 'GET')
          .map(({ method, path }) => {
            const endpoint = `${method} ${path}`;
            return { endpoint, operation: describedOperation(operations, endpoint) };
          }),
        {
          ask: orNull(askAt('monolith', baseUrl, timeoutMs, terminal)),
          rulesOf: (endpoint) => compileRules(slice.compare, endpoint),
          authorizations: authorizationsOf(options, terminal),
          pairs: wholeNumber('--pairs', options.pairs, 1, 10_000),
          gapMs: timeSpanMs('--gap', options.gap),
          signal: terminal.signal,
          tell: (route) => options.json || terminal.out(describeCalibrated(route)),
        },
      );
      const proposed = proposeRules(calibrated);
      if (options.json) terminal.out(JSON.stringify({ slice: name, routes: calibrated, proposed }));
      else {
        const yaml = proposalYaml(proposed, authorOf(terminal));
        terminal.out(
          yaml === ''
            ? `# nothing to add to the compare of ${name}`
            : `# for ${name}/slice.yaml, each line after you have looked at it: what is ignored is not compared\n${yaml}`,
        );
      }
      if (calibrated.every(({ pairs }) => pairs === 0)) {
        throw new CliError(
          `${name}: no route was asked twice: ${calibrated[0]?.cannot ?? 'it has no route that reads'}`,
        );
      }
      if (terminal.signal.aborted) throw new CliError(`${name}: stopped`, exitCodes.interrupted);
    });

  withRedisOption(asking('drive <slice>'))
    .description(
      'make requests for the kinds of answers that lack comparisons, through the proxy, and say which cannot be made; reads only unless told',
    )
    .option('--proxy <url>', `the proxy (default: $PROXY_URL, then ${defaultProxy})`)
    .option('--openapi <file>', "OpenAPI description of the slice's routes (default: the slice file's)")
    .option('--per-cell <count>', "how many of each kind (default: the slice file's gates.shadow.perCell)")
    .option('--writes', 'writes too, all but DELETE: they are really made')
    .option('--rate <count>', 'requests a second', '20')
    .action(async (name: string, options: DriveOptions) => {
      const { slice, folder } = await readSliceNamed(name, options, terminal);
      const operations = await readOperations(slice, folder, options.openapi);
      const baseUrl = httpAddress('--proxy', options.proxy, 'PROXY_URL', terminal.environment, defaultProxy);
      const timeoutMs = timeSpanMs('--timeout', options.timeout, 1);
      const perSecond = wholeNumber('--rate', options.rate, 1, 10_000);
      const perCell =
        options.perCell === undefined
          ? (slice.gates.shadow?.perCell ?? 20)
          : wholeNumber('--per-cell', options.perCell, 1, 100_000);
      const cells = await withReport(options, terminal, (report) => report.coverage(name));
      const coverage = coverageOf(wantedCells(slice, operations), cells);
      const lacking = coverage.filter(({ clean }) => clean < perCell);
      const ask = orNull(askAt('proxy', baseUrl, timeoutMs, terminal));
      const driven = await drive(lacking, {
        ask,
        operationOf: (endpoint) => describedOperation(operations, endpoint),
        authorizations: authorizationsOf(options, terminal),
        perCell,
        writes: options.writes === true,
        perSecond,
        signal: terminal.signal,
        tell: (cell) => terminal.log.info({ cell: nameCell(cell), sent: cell.sent }, 'driven'),
      });
      const short = driven.filter(({ cannot }) => cannot !== null);
      if (options.json)
        terminal.out(JSON.stringify({ slice: name, perCell, covered: coverage.length - lacking.length, driven }));
      else if (lacking.length === 0)
        terminal.out(`${name}: all ${coverage.length} kinds of answers have ${perCell} comparisons`);
      else {
        terminal.out(drivenTable(driven, perCell));
        terminal.out(
          `\n${driven.reduce((sum, { sent }) => sum + sent, 0)} requests sent; "strangler shadow report ${name}" says what came of them`,
        );
      }
      if (terminal.signal.aborted) throw new CliError(`${name}: stopped`, exitCodes.interrupted);
      if (driven.length > 0 && driven.every(({ cannot }) => cannot?.includes('no answer'))) {
        throw new CliError(
          `the proxy at ${baseUrl} gives no answer. Name another with --proxy or $PROXY_URL.`,
          exitCodes.unreachable,
        );
      }
      if (short.length > 0) {
        throw new CliError(
          `${name}: ${short.length} of ${driven.length} kinds of answers still lack some; make these requests yourself`,
        );
      }
    });
};

type Ask = (request: SentRequest) => Promise<ComparedAnswer>;

/** Asks a side, over a connection each: nothing is left open behind the command. @throws SideUnreachable */
/** By which a service that serves callers it knows alone knows the operator; nothing where there are no keys at hand. */
const operatorProof = async (service: string, { environment }: Terminal): Promise<Record<string, string>> => {
  const { SERVICE_KEYS: folder } = environment;
  if (folder === undefined || folder === '') return {};
  try {
    const ring = await openKeyFolder(folder).ring('operator');
    // Only where there are keys to sign with.
    const { createServiceTokens } = await import('@strangler/platform/service-trust/service-tokens.ts');
    const tokens = createServiceTokens({ ring: () => ring, lifeMs: operatorTokenLifeMs });
    return { [serviceTokenHeader]: await tokens.tokenFor(service) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new CliError(`SERVICE_KEYS: expected the operator's keys in ${folder}, found: ${(error as Error).message}`);
  }
};

const askAt = (name: string, url: string, timeoutMs: number, { signal }: Terminal): Ask => {
  const side = sideAt(name, url, { timeoutMs, signal, connectEachTime: true });
  return async (request) => comparedAnswer(await side.send(request), null);
};

/** The same; null where it gave no answer. */
const orNull = (ask: Ask) => async (request: SentRequest) => {
  try {
    return await ask(request);
  } catch (error) {
    if (error instanceof SideUnreachable) return null;
    throw error;
  }
};
