import { parseArgs } from 'node:util';
import { CopyError, type CopyProgress, copyCatalogue } from './copy-catalogue.ts';

const usage = `usage: node extracted/catalog/copy/main.ts --source mysql://… --target mysql://… [--reset]

Copies categories, products and reviews out of the shop's database into the catalogue's, once, and verifies them.

  --source <url>   the shop's database, of a user who may read it
  --target <url>   the catalogue's own database, migrated
  --reset          empties the target first; without it a target that is not empty is refused
`;

process.exitCode = await run();

async function run(): Promise<number> {
  const options = readOptions();
  if (options === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  try {
    const report = await copyCatalogue({ ...options, onProgress: show });
    for (const { table, rows, digest } of report.tables) {
      print(`${table.padEnd(10)} ${String(rows).padStart(9)} rows  ${digest.slice(0, 16)}  the same on both sides`);
    }
    print(`done in ${(report.elapsedMs / 1000).toFixed(1)} s`);
    return 0;
  } catch (error) {
    const { message } = error as Error;
    process.stderr.write(`${clearLine()}${error instanceof CopyError ? message : `the copy failed: ${message}`}\n`);
    return 1;
  }
}

function readOptions(): { sourceUrl: string; targetUrl: string; reset: boolean } | undefined {
  try {
    const { values } = parseArgs({
      options: { source: { type: 'string' }, target: { type: 'string' }, reset: { type: 'boolean', default: false } },
    });
    if (values.source === undefined || values.target === undefined) return undefined;
    return { sourceUrl: values.source, targetUrl: values.target, reset: values.reset };
  } catch {
    return undefined;
  }
}

/** On a terminal one line that changes; elsewhere nothing but the end of each step. */
function show({ table, step, done, total, rowsPerSecond }: CopyProgress): void {
  const line = `${step.padEnd(6)} ${table.padEnd(10)} ${done} of ${total}  ${rowsPerSecond} rows/s`;
  if (process.stdout.isTTY) process.stdout.write(`${clearLine()}${line}`);
  else if (done === total) print(line);
}

function clearLine(): string {
  return process.stdout.isTTY ? '\r\u001b[2K' : '';
}

function print(line: string): void {
  process.stdout.write(`${clearLine()}${line}\n`);
}
