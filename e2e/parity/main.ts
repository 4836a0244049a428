import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { repositoryRoot, stackHome } from '@strangler/stack/home/paths.ts';
import { stackSettings } from '@strangler/stack/home/settings.ts';
import { upStack } from '@strangler/stack/servers.ts';
import { interruptedBySignals } from '../options/interrupted.ts';
import { wholeNumberOf } from '../options/whole-number.ts';
import { describeReport } from './slices/describe-report.ts';
import { fuzzSlice } from './slices/fuzz-slice.ts';
import { type FuzzedSlice, fuzzedSlices, isFuzzedSlice } from './slices/pairs.ts';

const usage = `Usage: npm run --silent parity -- up|env|reset|down [--slice catalog|inventory]
       npm run --silent parity -- fuzz [--slice ${fuzzedSlices.join('|')}] [--seed 1] [--runs 50] [--json]

Shop and service of a slice beside each other, with the same data and nothing between them: two sides to fuzz.

  up      starts them, on servers of their own, and prints variables for a shell: eval "$(npm run --silent parity -- up)"
  env     prints the variables again
  reset   brings both back to the data that they began with
  down    stops them; the servers stay (npm run stack -- down)
  fuzz    starts them, sends both made-up sequences of requests and compares answers and rows after every step, stops them; exit
          status 1 if they differ`;

type Told = {
  control: string;
  slice: string;
  left: string;
  right: string;
  leftDatabase: string;
  rightDatabase: string;
  known: string[];
  tokens: Record<'admin' | 'customer' | 'otherCustomer', string>;
};

const { instance } = stackSettings();
const file = join(stackHome().instance(instance), 'parity.json');
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const parse = () => {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        slice: { type: 'string', default: 'catalog' },
        seed: { type: 'string', default: '1' },
        runs: { type: 'string', default: '50' },
        json: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    say(`parity: ${(error as Error).message.split('\n')[0]}`);
    process.exit(2);
  }
};
const { values, positionals } = parse();

const read = (): Told | undefined => {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Told;
  } catch {
    return undefined;
  }
};

const order = async (what: 'reset' | 'stop'): Promise<void> => {
  const told = read();
  if (told === undefined) throw new Error('the two sides are not up: npm run parity -- up');
  const answer = await fetch(`${told.control}/${what}`, { method: 'POST' });
  if (!answer.ok) throw new Error(`${what}: ${await answer.text()}`);
};

const isUp = async (told: Told | undefined): Promise<boolean> =>
  told !== undefined &&
  (await fetch(told.control).then(
    () => true,
    () => false,
  ));

const up = async (slice: FuzzedSlice): Promise<void> => {
  const present = read();
  if (await isUp(present)) {
    if (present?.slice === slice) return;
    throw new Error(`the two sides of ${present?.slice} are up: npm run parity -- down first`);
  }
  rmSync(file, { force: true });
  mkdirSync(dirname(file), { recursive: true });
  const addresses = await upStack({ instance, log: say });
  const log = join(dirname(file), 'parity.log');
  const output = openSync(log, 'w', 0o600);
  const child = spawn(process.execPath, [fileURLToPath(new URL('./serve-pair.ts', import.meta.url)), file, slice], {
    cwd: repositoryRoot,
    env: { ...process.env, TEST_STACK: JSON.stringify(addresses) },
    detached: true,
    stdio: ['ignore', output, output],
  });
  child.unref();
  await eventually(
    () => {
      if (child.exitCode !== null) return true;
      return read() !== undefined;
    },
    { withinMs: 120_000 },
  );
  if (child.exitCode !== null)
    throw new Error(`the two sides could not start: ${readFileSync(log, 'utf8').slice(-2000)}`);
};

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const env = (): string => {
  const told = read();
  if (told === undefined) throw new Error('the two sides are not up: npm run parity -- up');
  const variables = {
    LEFT: told.left,
    RIGHT: told.right,
    LEFT_DATABASE: told.leftDatabase,
    RIGHT_DATABASE: told.rightDatabase,
    ADMIN_TOKEN: told.tokens.admin,
    CUSTOMER_TOKEN: told.tokens.customer,
    OTHER_CUSTOMER_TOKEN: told.tokens.otherCustomer,
    KNOWN: told.known.join(' '),
    RESET: `${process.execPath} -e 'fetch(process.argv[1], { method: "POST" }).then((a) => process.exit(a.ok ? 0 : 1))' ${told.control}/reset`,
    STRANGLER_SLICES: join(repositoryRoot, 'migrations/slices'),
  };
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quoted(value)}`)
    .join('\n');
};

const runFuzz = async (slice: FuzzedSlice): Promise<string> => {
  const number = wholeNumberOf('parity');
  const [seed, runs] = [number(values.seed, 'seed', 2 ** 31), number(values.runs, 'runs', 100_000)];
  const signal = interruptedBySignals();
  process.env.TEST_STACK ??= JSON.stringify(await upStack({ instance, log: say, signal }));
  const report = await fuzzSlice({ slice, seed, runs, say, signal });
  if (report.found !== null) process.exitCode = 1;
  return values.json ? JSON.stringify({ slice, ...report }) : describeReport(report);
};

const commands: Record<string, (slice: FuzzedSlice) => Promise<string | undefined>> = {
  up: async (slice) => {
    await up(slice);
    return env();
  },
  env: async () => env(),
  reset: async () => void (await order('reset')),
  down: async () => {
    await order('stop');
    await eventually(async () => !(await isUp(read())), { withinMs: 30_000 });
    rmSync(file, { force: true });
    return 'both sides are down';
  },
  fuzz: runFuzz,
};

const command = positionals.length === 1 ? commands[positionals[0] ?? ''] : undefined;
if (command === undefined) {
  say(usage);
  process.exitCode = 2;
} else if (!isFuzzedSlice(values.slice)) {
  say(`parity: --slice: expected ${fuzzedSlices.join(', ')}, found "${values.slice}"`);
  process.exitCode = 2;
} else {
  try {
    const said = await command(values.slice);
    if (said !== undefined) process.stdout.write(`${said}\n`);
  } catch (error) {
    say(`parity: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
