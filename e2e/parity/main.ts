import { spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { repositoryRoot, stackHome } from '@strangler/stack/home/paths.ts';
import { stackSettings } from '@strangler/stack/home/settings.ts';
import { upStack } from '@strangler/stack/servers.ts';

const usage = `Usage: npm run --silent parity -- up|env|reset|down

Monolith and catalogue beside each other, with the same data and nothing between them: two sides to fuzz.

  up      starts them, on servers of their own, and prints variables for a shell: eval "$(npm run --silent parity -- up)"
  env     prints the variables again
  reset   brings both back to the data that they began with
  down    stops them; the servers stay (npm run stack -- down)`;

type Told = {
  control: string;
  left: string;
  right: string;
  leftDatabase: string;
  rightDatabase: string;
  tokens: Record<'admin' | 'customer' | 'otherCustomer', string>;
};

const { instance } = stackSettings();
const file = join(stackHome().instance(instance), 'parity.json');

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

const up = async (): Promise<void> => {
  if (await isUp(read())) return;
  rmSync(file, { force: true });
  mkdirSync(dirname(file), { recursive: true });
  const addresses = await upStack({ instance, log: (line) => process.stderr.write(`${line}\n`) });
  const log = join(dirname(file), 'parity.log');
  const output = openSync(log, 'w', 0o600);
  const child = spawn(process.execPath, [fileURLToPath(new URL('./serve-pair.ts', import.meta.url)), file], {
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
    RESET: `${process.execPath} -e 'fetch(process.argv[1], { method: "POST" }).then((a) => process.exit(a.ok ? 0 : 1))' ${told.control}/reset`,
    STRANGLER_SLICES: join(repositoryRoot, 'migrations/slices'),
  };
  return Object.entries(variables)
    .map(([name, value]) => `export ${name}=${quoted(value)}`)
    .join('\n');
};

const commands: Record<string, () => Promise<string | undefined>> = {
  up: async () => {
    await up();
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
};

const command = commands[process.argv[2] ?? ''];
if (command === undefined) {
  process.stderr.write(`${usage}\n`);
  process.exitCode = 2;
} else {
  try {
    const said = await command();
    if (said !== undefined) process.stdout.write(`${said}\n`);
  } catch (error) {
    process.stderr.write(`parity: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
