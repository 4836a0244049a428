import { parseArgs } from 'node:util';
import { downStack, upStack } from '@strangler/stack/servers.ts';
import { formatBounds } from '../demo/bounds.ts';
import { createProgress, type Progress } from '../demo/progress.ts';
import { interruptedBySignals } from '../options/interrupted.ts';
import { wholeNumberOf } from '../options/whole-number.ts';
import { fuzzedSlices, isFuzzedSlice } from '../parity/slices/pairs.ts';
import { soakCutover } from './cutover/soak-cutover.ts';
import { soakFraming } from './framing/soak-framing.ts';
import { type SoakFuzzReport, soakFuzz } from './fuzz/soak-fuzz.ts';
import { soakFuzzSlice } from './fuzz/soak-fuzz-slice.ts';
import { type SoakPipeReport, soakPipe } from './pipe/soak-pipe.ts';
import { soakShadow } from './shadow/soak-shadow.ts';
import { soakFlags } from './soak-flags.ts';
import { soakStock } from './stock/soak-stock.ts';

const usage = `Usage: npm run soak -- [--scenario flags|pipe|cutover|shadow|fuzz|framing|stock] [--faults 60] [--seed 1] [--json]

The long form of the fault tests: faults by the dozen under traffic. The same seed makes the same faults.

  --scenario flags    shoppers through two proxies while instances, Redis and Consul die or freeze (unless told)
                      [--rate 60] requests a second, [--size 500] products
  --scenario pipe     writers on a database whose rows are copied to another, while relays, appliers, copies and servers
                      die or freeze and messages come again; then every invariant of the pipe is checked from outside
                      [--minutes 0] at least, [--writers 6], [--size 5000] rows; STACK_DB says on which engine
  --scenario cutover  the ownership of the catalogue's writes moved there and back under clients that log what they do, through
                      the proxies and past them, while the coordinator, processes and servers die; then every write looked
                      for on both sides: [--cutovers 50], [--peace] nothing dies, and no request may fail,
                      [--rate 60] requests a second, [--size 500] products, [--workers 2] of each proxy
  --scenario shadow   shoppers and writers whose every request is compared with what a healthy catalogue answers: nothing may
                      be told of it: [--minutes 10], [--rate 60] requests a second, [--size 500] products
  --scenario fuzz     sequences of requests made from the catalogue's OpenAPI description, sent to shop and catalogue from the same
                      data and compared in answers, rows and events: [--runs 300] sequences that must find nothing, then
                      one fault after the other planted into the catalogue, each of which must be found where it is;
                      [--slice inventory|notifications|payments|orders] that service's and the shop's, with nothing planted
  --scenario stock    1,000 buyers who want the same 100 scarce items while the stock goes to its service and all the way back:
                      nothing may be oversold, every piece must be somewhere, no request may fail:
                      [--buyers 1000], [--items 100] of at most 100, [--rate 60] requests a second
  --scenario framing  malformed requests through the proxy to nginx and to a lenient server, then slow, silent and flooding clients,
                      while an honest one is measured: [--runs 10000] connections, [--idle 10000]; needs no servers
  --faults <number>   how many faults, one after the other (60, or as many as the minutes take; cutover: one at each)
  --json              the last line of standard output is one JSON object

Exit status 0 only if every bound was kept.`;

const wholeNumber = wholeNumberOf('soak');

const fail = (message: string): never => {
  process.stderr.write(`soak: ${message}\n`);
  process.exit(2);
};

const parse = () => {
  try {
    return parseArgs({
      options: {
        scenario: { type: 'string', default: 'flags' },
        faults: { type: 'string' },
        seed: { type: 'string', default: '1' },
        rate: { type: 'string', default: '60' },
        size: { type: 'string' },
        minutes: { type: 'string' },
        runs: { type: 'string' },
        idle: { type: 'string', default: '10000' },
        cutovers: { type: 'string', default: '50' },
        peace: { type: 'boolean', default: false },
        workers: { type: 'string', default: '2' },
        writers: { type: 'string', default: '6' },
        slice: { type: 'string', default: 'catalog' },
        buyers: { type: 'string', default: '1000' },
        items: { type: 'string', default: '100' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message.split('\n')[0]!);
  }
};

const values = parse();

type Common = { seed: number; faults: number; progress: Progress; signal: AbortSignal };

const flagsScenario = async (common: Common) => {
  const report = await soakFlags({
    ...common,
    instance: process.env.STACK_INSTANCE ?? 'soak',
    requestsPerSecond: wholeNumber(values.rate, 'rate'),
    products: wholeNumber(values.size ?? '500', 'size'),
  });
  return { report, faults: report.failures.map(({ action, failure }) => `${action}: ${failure}`) };
};

const pipeScenario = async (common: Common) => {
  const settings = {
    ...common,
    minutes: values.minutes === undefined ? 0 : wholeNumber(values.minutes, 'minutes'),
    writers: wholeNumber(values.writers, 'writers', 100),
    rows: wholeNumber(values.size ?? '5000', 'size', 1_000_000),
  };
  const told = (report: SoakPipeReport) => ({ report, faults: report.violations });
  // Servers that are given may be used by others: only the ways to them are broken.
  if (process.env.TEST_STACK) return told(await soakPipe({ ...settings, instance: undefined }));
  const instance = process.env.STACK_INSTANCE ?? 'soak-pipe';
  const addresses = await upStack({ instance, log: common.progress.say, signal: common.signal });
  process.env.TEST_STACK = JSON.stringify(addresses);
  try {
    return told(await soakPipe({ ...settings, instance }));
  } finally {
    await downStack(instance);
  }
};

const cutoverScenario = async (common: Common) => {
  const cutovers = wholeNumber(values.cutovers, 'cutovers', 10_000);
  const report = await soakCutover({
    ...common,
    cutovers,
    faults: values.peace ? 0 : values.faults === undefined ? cutovers : common.faults,
    instance: process.env.STACK_INSTANCE ?? 'soak-cutover',
    requestsPerSecond: wholeNumber(values.rate, 'rate', 2_000),
    products: wholeNumber(values.size ?? '500', 'size'),
    workersPerProxy: wholeNumber(values.workers, 'workers', 64),
  });
  // Where things die, requests fail; that is no fault of anything.
  const failures = values.peace ? report.failures.map(({ action, failure }) => `${action}: ${failure}`) : [];
  return { report, faults: [...report.violations, ...failures] };
};

const shadowScenario = async (common: Common) => {
  const report = await soakShadow({
    ...common,
    minutes: wholeNumber(values.minutes ?? '10', 'minutes'),
    instance: process.env.STACK_INSTANCE ?? 'soak-shadow',
    requestsPerSecond: wholeNumber(values.rate, 'rate', 2_000),
    products: wholeNumber(values.size ?? '500', 'size'),
  });
  return { report, faults: [...report.falseAlarms, ...report.failures.map((one) => `${one.action}: ${one.failure}`)] };
};

const fuzzScenario = async ({ seed, progress, signal }: Common) => {
  const runs = wholeNumber(values.runs ?? '300', 'runs', 100_000);
  const { slice } = values;
  if (!isFuzzedSlice(slice)) return fail(`--slice: expected ${fuzzedSlices.join(', ')}, found "${slice}"`);
  const told = (report: SoakFuzzReport) => ({
    report,
    faults: report.faults
      .filter(({ outcome }) => outcome !== 'found')
      .map(({ fault, outcome }) => `${fault}: ${outcome}`),
  });
  const run = async () => {
    if (slice === 'catalog') return told(await soakFuzz({ seed, runs, progress, signal }));
    const report = await soakFuzzSlice({ slice, seed, runs, progress, signal });
    return { report, faults: report.found === null ? [] : [report.found.text] };
  };
  if (process.env.TEST_STACK) return run();
  const instance = process.env.STACK_INSTANCE ?? 'soak-fuzz';
  process.env.TEST_STACK = JSON.stringify(await upStack({ instance, log: progress.say, signal }));
  try {
    return await run();
  } finally {
    await downStack(instance);
  }
};

const stockScenario = async ({ seed, progress, signal }: Common) => {
  const report = await soakStock({
    ...{ seed, progress, signal },
    instance: process.env.STACK_INSTANCE ?? 'soak-stock',
    buyers: wholeNumber(values.buyers, 'buyers', 20_000),
    items: wholeNumber(values.items, 'items', 100),
    requestsPerSecond: wholeNumber(values.rate, 'rate', 2_000),
  });
  return { report, faults: report.failures.map(({ action, failure }) => `${action}: ${failure}`) };
};

const framingScenario = async ({ seed, progress, signal }: Common) => {
  const report = await soakFraming({
    ...{ seed, progress, signal },
    runs: wholeNumber(values.runs ?? '10000', 'runs', 1_000_000),
    idle: wholeNumber(values.idle, 'idle', 60_000),
  });
  return {
    report,
    faults: Object.values(report.fuzz).flatMap(({ foreign, hung, defects }) => [...foreign, ...hung, ...defects]),
  };
};

const scenarios = {
  framing: framingScenario,
  flags: flagsScenario,
  pipe: pipeScenario,
  cutover: cutoverScenario,
  shadow: shadowScenario,
  fuzz: fuzzScenario,
  stock: stockScenario,
};

if (values.help) {
  process.stdout.write(`${usage}\n`);
} else {
  if (!(values.scenario in scenarios))
    fail(`--scenario: expected ${Object.keys(scenarios).join(', ')}, found "${values.scenario}"`);
  const { report, faults } = await scenarios[values.scenario as keyof typeof scenarios]({
    seed: wholeNumber(values.seed, 'seed'),
    // Who says how long says how many.
    faults: wholeNumber(values.faults ?? (values.minutes === undefined ? '60' : '1'), 'faults'),
    progress: createProgress((text) => process.stderr.write(text)),
    signal: interruptedBySignals(),
  });
  for (const fault of faults.slice(0, 10)) process.stderr.write(`failed: ${fault}\n`);
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${formatBounds(report.bounds)}\n`);
  process.exitCode = report.ok ? 0 : 1;
}
