import { parseArgs } from 'node:util';
import { formatBounds } from './bounds.ts';
import { createProgress } from './progress.ts';
import { runFlagsScenario } from './scenarios/flags.ts';

const usage = `Usage: npm run demo -- [--scenario flags] [--rate 60] [--size 500] [--seconds 4] [--json] [--keep]

Brings real servers and the whole shop up, drives shoppers through two proxies, and shows what the kit does under them.

  --scenario flags   catalogue reads 0 → 10 → 50 → 100 → 0 %, service instances killed on the way
  --rate <number>    requests a second (60)
  --size <number>    products in the shop (500)
  --seconds <number> how long each step is watched (4)
  --json             the last line of standard output is one JSON object; progress goes to standard error
  --keep             leave everything running afterwards and print the addresses; "npm stop" ends it

Exit status 0 only if every bound was kept.`;

const scenarios = { flags: runFlagsScenario };

const fail = (message: string): never => {
  process.stderr.write(`demo: ${message}\n`);
  process.exit(2);
};

const wholeNumber = (text: string, option: string, max: number): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max)
    fail(`--${option}: expected a whole number from 1 to ${max}, found "${text}"`);
  return value;
};

const parse = () => {
  try {
    return parseArgs({
      options: {
        scenario: { type: 'string', default: 'flags' },
        rate: { type: 'string', default: '60' },
        size: { type: 'string', default: '500' },
        seconds: { type: 'string', default: '4' },
        json: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message.split('\n')[0]!);
  }
};

const values = parse();
if (values.help) {
  process.stdout.write(`${usage}\n`);
} else {
  if (!(values.scenario in scenarios))
    fail(`--scenario: expected ${Object.keys(scenarios).join(', ')}, found "${values.scenario}"`);
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => interrupted.abort(new Error(`stopped by ${signal}`)));
  const report = await scenarios[values.scenario as keyof typeof scenarios]({
    requestsPerSecond: wholeNumber(values.rate, 'rate', 2000),
    products: wholeNumber(values.size, 'size', 1_000_000),
    secondsPerStep: wholeNumber(values.seconds, 'seconds', 3600),
    instance: process.env.STACK_INSTANCE ?? 'demo',
    keep: values.keep,
    progress: createProgress((text) => (values.json ? process.stderr : process.stdout).write(text)),
    signal: interrupted.signal,
  });
  for (const { action, failure } of report.failures.slice(0, 5))
    process.stderr.write(`failed: ${action}: ${failure}\n`);
  process.stdout.write(
    values.json
      ? `${JSON.stringify(report)}\n`
      : `\n${formatBounds(report.bounds)}\n\n${report.ok ? 'Every bound was kept.' : 'A bound was broken.'}\n`,
  );
  process.exitCode = report.ok ? 0 : 1;
}
