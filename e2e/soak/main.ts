import { parseArgs } from 'node:util';
import { formatBounds } from '../demo/bounds.ts';
import { createProgress } from '../demo/progress.ts';
import { soakFlags } from './soak-flags.ts';

const usage = `Usage: npm run soak -- [--faults 60] [--seed 1] [--rate 60] [--size 500] [--json]

The long form of the fault tests: faults by the dozen under traffic. The same seed makes the same faults.`;

const wholeNumber = (text: string, option: string): number => {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  process.stderr.write(`soak: --${option}: expected a whole number from 1 on, found "${text}"\n`);
  process.exit(2);
};

const parse = () => {
  try {
    return parseArgs({
      options: {
        faults: { type: 'string', default: '60' },
        seed: { type: 'string', default: '1' },
        rate: { type: 'string', default: '60' },
        size: { type: 'string', default: '500' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    process.stderr.write(`soak: ${(error as Error).message.split('\n')[0]}\n`);
    process.exit(2);
  }
};

const values = parse();
if (values.help) {
  process.stdout.write(`${usage}\n`);
} else {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => interrupted.abort(new Error(`stopped by ${signal}`)));
  }
  const report = await soakFlags({
    instance: process.env.STACK_INSTANCE ?? 'soak',
    seed: wholeNumber(values.seed, 'seed'),
    faults: wholeNumber(values.faults, 'faults'),
    requestsPerSecond: wholeNumber(values.rate, 'rate'),
    products: wholeNumber(values.size, 'size'),
    progress: createProgress((text) => process.stderr.write(text)),
    signal: interrupted.signal,
  });
  for (const { action, failure } of report.failures.slice(0, 10))
    process.stderr.write(`failed: ${action}: ${failure}\n`);
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${formatBounds(report.bounds)}\n`);
  process.exitCode = report.ok ? 0 : 1;
}
