import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually, type FreshDatabase, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';

type Program = { child: ChildProcess; stdout(): string; stderr(): string; exitCode: Promise<number | null> };

const running = new Set<ChildProcess>();
let database: FreshDatabase;

const run = (file: string, options: string[], env: NodeJS.ProcessEnv): Program => {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, [path, ...options], {
    env: { ...programEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  running.add(child);
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    output.stderr += chunk;
  });
  const exitCode = once(child, 'exit').then(([code]) => {
    running.delete(child);
    return code as number | null;
  });
  return { child, stdout: () => output.stdout, stderr: () => output.stderr, exitCode };
};

const start = async (env: NodeJS.ProcessEnv): Promise<Program & { url: string }> => {
  const program = run('./main.ts', [], { PORT: '0', DATABASE_URL: database.url, AUTO_MIGRATE: 'true', ...env });
  const url = await eventually(() => {
    const found = /"url":"(http:[^"]+)"/.exec(program.stdout())?.[1];
    if (found === undefined) throw new Error(`it does not listen yet: ${program.stdout()}${program.stderr()}`);
    return found;
  });
  return { ...program, url };
};

beforeAll(async () => {
  database = await freshDatabase('main');
});

afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await database?.drop();
});

test('the process registers with Consul, takes requests, and on SIGTERM is taken out and ends with 0', async () => {
  const { consulUrl, redisUrl } = testServers();
  const name = database.name.replaceAll('_', '-');
  const program = await start({
    CONSUL_URL: consulUrl,
    REDIS_URL: redisUrl,
    SERVICE_NAME: name,
    SERVICE_ID: `${name}-1`,
  });
  const instances = async (): Promise<unknown[]> =>
    (await fetch(`${consulUrl}/v1/health/service/${name}?passing=true`)).json() as Promise<unknown[]>;
  await eventually(async () => (await instances()).length === 1);
  const answer = await fetch(`${program.url}/api/products`);
  expect(await answer.json()).toEqual({ items: [], next_cursor: null });
  program.child.kill('SIGTERM');
  expect(await program.exitCode).toBe(0);
  expect(await instances()).toEqual([]);
  expect(program.stderr()).toBe('');
});

test('two processes started on one database know the tokens of one another', async () => {
  const programs = await Promise.all([start({ SERVICE_ID: 'a' }), start({ SERVICE_ID: 'b' })]);
  const [one, other] = programs.map((program) => program.url);
  const send = (url: string | undefined, path: string, body: unknown) =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const account = { email: 'two@shop.example', password: 'a long enough password' };
  expect((await send(one, '/api/accounts', { ...account, display_name: 'Two' })).status).toBe(201);
  for (const [issuer, verifier] of [
    [one, other],
    [other, one],
  ]) {
    const { access_token } = (await (await send(issuer, '/api/sessions', account)).json()) as { access_token: string };
    await eventually(async () => {
      const me = await fetch(`${verifier}/api/accounts/me`, { headers: { authorization: `Bearer ${access_token}` } });
      expect(me.status).toBe(200);
    });
  }
  for (const { child, exitCode } of programs) {
    child.kill('SIGTERM');
    expect(await exitCode).toBe(0);
  }
});

test('an environment that is not usable ends it with 2, naming every bad variable at once', async () => {
  const program = run('./main.ts', [], { PORT: 'eighty', PRICE_JOB_AT: '25:00', DATABASE_URL: 'postgres://x' });
  expect(await program.exitCode).toBe(2);
  for (const variable of ['PORT', 'PRICE_JOB_AT', 'DATABASE_URL']) expect(program.stderr()).toContain(variable);
});

test('a database that is not there ends it with 1 and an error that does not show the password', async () => {
  const program = run('./main.ts', [], { PORT: '0', DATABASE_URL: 'mysql://shop:hidden-word@127.0.0.1:1/shop' });
  expect(await program.exitCode).toBe(1);
  expect(program.stdout()).toContain('could not start');
  expect(program.stdout() + program.stderr()).not.toContain('hidden-word');
});

test('migrations are looked at, run and taken back by hand', async () => {
  const own = await freshDatabase('migrate');
  try {
    const migrate = async (...options: string[]) => {
      const program = run('./migrate.ts', options, { DATABASE_URL: own.url, LOG_LEVEL: 'warn' });
      return { code: await program.exitCode, stdout: program.stdout() };
    };
    const before = await migrate('status');
    expect(before.code).toBe(3);
    expect(before.stdout).toContain('pending  0001-accounts');
    expect((await migrate('up')).stdout).toContain('up    0001-accounts');
    expect((await migrate('up')).stdout).toBe('nothing to do\n');
    expect((await migrate('status')).code).toBe(0);
    expect((await migrate('down', '--to', '0009-product-list-indexes')).stdout).toContain('down  0009');
    expect((await migrate('down', '--all')).stdout).toContain('down  0001-accounts');
    expect((await migrate('sideways')).code).toBe(2);
  } finally {
    await own.drop();
  }
});

test('a rotated signing key is printed by its id, and the old one is kept for verifying', async () => {
  const program = run('./signing-key.ts', ['rotate'], { DATABASE_URL: database.url });
  expect(await program.exitCode).toBe(0);
  expect(program.stdout().trim()).toMatch(/^[\w-]{43}$/);
});
