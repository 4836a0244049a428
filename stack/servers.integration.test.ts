import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createConnection } from 'mysql2/promise';
import type { ServerName, StackAddresses } from './addresses.ts';
import { repositoryRoot, stackHome } from './home/paths.ts';
import { processesOfServer } from './instance/private-server.ts';
import { readRecord } from './instance/records.ts';
import { packageSets } from './packages/sets.ts';
import { ensureUnpacked, findUnpacked } from './packages/unpack.ts';
import { isAlive } from './process/identity.ts';
import { runCommand } from './process/run.ts';
import {
  downStack,
  killServer,
  pauseServer,
  resumeServer,
  startServer,
  statusStack,
  stopServer,
  upStack,
} from './servers.ts';
import { fromPackages } from './source/installation.ts';

// A home of its own, so that nothing here can touch an instance that somebody uses; what is unpacked, downloaded and
// initialised is shared with it, so that nothing is fetched or made twice.
const shared = stackHome();
const folder = mkdtempSync(join(tmpdir(), 'stack-'));
const env = {
  ...process.env,
  STACK_HOME: folder,
  STACK_CACHE: shared.downloads,
  STACK_INSTANCE: '',
  STACK_SOURCES: 'environment,packages',
  // What it is unless told; a whole test run tells its servers otherwise.
  STACK_FLUSH_LOG_AT_COMMIT: '',
};
const home = stackHome(env);
const instance = 'one';
const testStack = (): StackAddresses => JSON.parse(process.env.TEST_STACK ?? '{}') as StackAddresses;
/** Servers that are not of interest to a test are those of the test run. */
const lent = (...own: ServerName[]): Partial<Record<ServerName, string>> => {
  const { mysqlUrl, rabbitmqUrl, redisUrl, consulUrl } = testStack();
  const all = { mysql: mysqlUrl, rabbitmq: rabbitmqUrl, redis: redisUrl, consul: consulUrl };
  return Object.fromEntries(Object.entries(all).filter(([name]) => !own.includes(name as ServerName)));
};

beforeAll(() => {
  for (const kind of ['packages', 'templates'] as const) {
    mkdirSync(home[kind], { recursive: true });
    for (const entry of existsSync(shared[kind]) ? readdirSync(shared[kind], { withFileTypes: true }) : []) {
      if (entry.isDirectory() && !entry.name.includes('.part-')) {
        symlinkSync(join(shared[kind], entry.name), join(home[kind], entry.name));
      }
    }
  }
});
afterAll(async () => {
  for (const name of [instance, 'two', 'three']) await downStack(name, { purge: true, env });
  rmSync(folder, { recursive: true, force: true });
});

const pidsOf = (name: ServerName) => processesOfServer({ home, instance, name }).map(({ pid }) => pid);

describe('an instance', () => {
  test('comes up with servers that answer, and stays as it is when asked again', async () => {
    const said: string[] = [];
    const addresses = await upStack({ instance, env, log: (line) => said.push(line) });
    expect((await statusStack(instance, env)).servers.map(({ state }) => state)).toEqual([
      'answers',
      'answers',
      'answers',
      'answers',
    ]);
    for (const title of ['MySQL', 'RabbitMQ', 'Redis', 'Consul'])
      expect(said.join('\n')).toMatch(new RegExp(`${title}.* answers on 127\\.0\\.0\\.1:\\d+ after`));
    const before = pidsOf('mysql');
    expect(await upStack({ instance, env })).toEqual(addresses);
    expect(pidsOf('mysql')).toEqual(before);
  }, 180_000);

  test('is told of in stack.json, which only its owner can read', async () => {
    const file = join(home.instance(instance), 'stack.json');
    const { addresses } = JSON.parse(readFileSync(file, 'utf8')) as { addresses: StackAddresses };
    expect(addresses.engine).toBe('mysql');
    expect((await runCommand({ file: 'stat', args: ['-c', '%a', file] }, { timeoutMs: 5_000 })).stdout.trim()).toBe(
      '600',
    );
  });

  test('listens on the loopback address and nowhere else', async () => {
    const pids = (['mysql', 'rabbitmq', 'redis', 'consul'] as const).flatMap(pidsOf);
    const listening = listeningAddresses(pids);
    expect(listening.length).toBeGreaterThanOrEqual(10);
    expect(listening.filter((address) => address !== 'loopback')).toEqual([]);
  });

  test('has a database as the example needs it: UTC, utf8mb4, a row log, durable commits', async () => {
    const { addresses } = await statusStack(instance, env);
    const connection = await createConnection({ uri: addresses?.mysqlUrl ?? '' });
    const [rows] = await connection.query(
      'SELECT @@global.time_zone z, @@character_set_server c, @@log_bin b, @@binlog_format f, @@innodb_flush_log_at_trx_commit d, @@sync_binlog s',
    );
    await connection.end();
    expect(rows).toEqual([{ z: '+00:00', c: 'utf8mb4', b: 1, f: 'ROW', d: 1, s: 1 }]);
  });

  const query = async (sql: string) => {
    const { addresses } = await statusStack(instance, env);
    const connection = await createConnection({ uri: addresses?.mysqlUrl ?? '' });
    try {
      return (await connection.query(sql))[0];
    } finally {
      connection.destroy();
    }
  };

  test.each(['mysql', 'rabbitmq', 'redis', 'consul'] as const)(
    'has a %s that can be killed and comes back on its port',
    async (name) => {
      const port = readRecord(home, instance, name)?.ports.main;
      const before = pidsOf(name);
      if (name === 'mysql') await query('CREATE DATABASE kept');
      await killServer(instance, name, { env });
      expect(pidsOf(name)).toEqual([]);
      expect((await statusStack(instance, env)).servers.find((server) => server.name === name)?.state).toBe('down');
      await startServer(instance, name, { env });
      expect((await statusStack(instance, env)).servers.find((server) => server.name === name)?.state).toBe('answers');
      expect(readRecord(home, instance, name)?.ports.main).toBe(port);
      expect(pidsOf(name).filter((pid) => before.includes(pid))).toEqual([]);
    },
    120_000,
  );

  test('keeps what was committed over a crash and a stop', async () => {
    // The crash is the one that it came back from above.
    expect(await query("SHOW DATABASES LIKE 'kept'")).toHaveLength(1);
    await stopServer(instance, 'mysql', { env });
    await startServer(instance, 'mysql', { env });
    expect(await query("SHOW DATABASES LIKE 'kept'")).toHaveLength(1);
  }, 180_000);

  test('has servers that can be frozen and go on', async () => {
    const names = ['mysql', 'rabbitmq', 'redis', 'consul'] as const;
    for (const name of names) await pauseServer(instance, name, { env });
    try {
      const { servers } = await statusStack(instance, env);
      expect(servers.map(({ state }) => state)).toEqual(names.map(() => 'runs, does not answer'));
    } finally {
      for (const name of names) await resumeServer(instance, name, { env });
    }
    expect((await statusStack(instance, env)).up).toBe(true);
  }, 180_000);

  test('is left by every process when it goes down, and its ports are its own when it comes up again', async () => {
    const processes = (['mysql', 'rabbitmq', 'redis', 'consul'] as const).flatMap((name) =>
      processesOfServer({ home, instance, name }),
    );
    const before = (await statusStack(instance, env)).addresses;
    await downStack(instance, { env });
    expect(processes.filter(isAlive)).toEqual([]);
    expect(existsSync(join(home.instance(instance), 'stack.json'))).toBe(false);
    expect(await upStack({ instance, env })).toEqual(before);
    await downStack(instance, { env, purge: true });
    expect(existsSync(home.instance(instance))).toBe(false);
  }, 180_000);
});

describe('what goes wrong', () => {
  test('a port that is asked for and taken is named, and nothing is left running', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    try {
      const wanted = { ...env, STACK_REDIS_PORT: String(port) };
      await expect(upStack({ instance: 'two', env: wanted, urls: lent('redis', 'consul') })).rejects.toThrow(
        `port ${port} for Redis (instance two) is taken`,
      );
      for (const name of ['redis', 'consul'] as const)
        expect(processesOfServer({ home, instance: 'two', name })).toEqual([]);
    } finally {
      server.close();
    }
  }, 180_000);

  test('a server that ends while it starts is reported with the end of its log', async () => {
    mkdirSync(join(home.server('three', 'consul'), 'data'), { recursive: true });
    // Consul cannot make its folder where a file is.
    writeFileSync(join(home.server('three', 'consul'), 'data', 'raft'), '');
    await expect(upStack({ instance: 'three', env, urls: lent('consul') })).rejects.toThrow(
      /Consul ended while it started; the end of its log, .*server\.log:\n.*raft/s,
    );
    expect(processesOfServer({ home, instance: 'three', name: 'consul' })).toEqual([]);
  }, 180_000);

  test('a start that is called off leaves nothing running', async () => {
    const controller = new AbortController();
    const starting = upStack({ instance: 'two', env, urls: lent('redis', 'rabbitmq'), signal: controller.signal });
    starting.catch(() => {});
    while (processesOfServer({ home, instance: 'two', name: 'rabbitmq' }).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    controller.abort(new Error('called off'));
    await expect(starting).rejects.toThrow('called off');
    for (const name of ['redis', 'rabbitmq'] as const)
      expect(processesOfServer({ home, instance: 'two', name })).toEqual([]);
  }, 180_000);

  test('a URL that leads nowhere is named without its password', async () => {
    const urls = { ...lent(), redis: 'redis://:hunter2@127.0.0.1:1' };
    const failure = await upStack({ instance: 'two', env, urls }).catch((error: Error) => error.message);
    expect(failure).toMatch(/Redis at STACK_REDIS_URL \(127\.0\.0\.1:1\) does not answer/);
    expect(failure).not.toContain('hunter2');
  }, 180_000);

  test('MySQL that was asked for by name and cannot be had is an error that says where it was looked for', async () => {
    const nowhere = { ...env, STACK_SOURCES: 'environment' };
    await expect(upStack({ instance: 'two', env: nowhere, db: 'mysql', urls: lent('mysql') })).rejects.toThrow(
      'MySQL was found in none of environment',
    );
  }, 180_000);
});

const unpackedHere = findUnpacked(shared, packageSets.redis) !== undefined;
(unpackedHere ? describe : describe.skip)('unpacked packages', () => {
  const own = {
    ...stackHome({ STACK_HOME: join(folder, 'packages-test') }),
    downloads: join(folder, 'packages-test', 'downloads'),
  };
  /** A quarter of all that this file takes is fetching and parsing the lists, which the test run has often done minutes ago. */
  const copyYoungLists = (): void => {
    const fetched = statSync(join(shared.apt, 'native', 'updated'), { throwIfNoEntry: false });
    if (fetched === undefined || Date.now() - fetched.mtimeMs > 30 * 60_000) return;
    cpSync(join(shared.apt, 'native'), join(own.apt, 'native'), { recursive: true, preserveTimestamps: true });
  };
  const said: string[] = [];
  const options = { home: own, say: (line: string) => said.push(line) };

  beforeAll(() => {
    mkdirSync(own.apt, { recursive: true });
    copyYoungLists();
    mkdirSync(own.downloads, { recursive: true });
  });

  test('are there after a run, and whatever a run that died half-way has left is done again', async () => {
    mkdirSync(join(own.packages, 'redis.part-1'), { recursive: true });
    mkdirSync(join(own.packages, 'redis', 'usr'), { recursive: true });
    expect(findUnpacked(own, packageSets.redis)).toBeUndefined();
    const unpacked = await ensureUnpacked(packageSets.redis, options);
    expect(existsSync(unpacked.program)).toBe(true);
    expect(readdirSync(own.packages).filter((name) => name.includes('.part-'))).toEqual([]);
  }, 180_000);

  test('that were downloaded broken are downloaded again', async () => {
    const [deb = ''] = readdirSync(own.downloads).filter((name) => name.startsWith('redis-tools'));
    truncateSync(join(own.downloads, deb), 1_000);
    rmSync(join(own.packages, 'redis'), { recursive: true });
    await ensureUnpacked(packageSets.redis, options);
    expect(said.join('\n')).toContain(`${deb} is broken and is downloaded again`);
  }, 180_000);

  test('that cannot be downloaded are named with the command and the last words of apt, and the retry works', async () => {
    rmSync(join(own.packages, 'redis'), { recursive: true });
    const [deb = ''] = readdirSync(own.downloads).filter((name) => name.startsWith('redis-tools'));
    rmSync(join(own.downloads, deb));
    const configuration = join(own.apt, 'native', 'apt.conf');
    const refused = { http_proxy: 'http://127.0.0.1:1', https_proxy: 'http://127.0.0.1:1' };
    const before = { ...process.env };
    Object.assign(process.env, refused);
    try {
      await expect(ensureUnpacked(packageSets.redis, options)).rejects.toThrow(
        /redis-tools[\s\S]*apt-get -c [\s\S]*download[\s\S]*run the same command again/,
      );
    } finally {
      for (const name of Object.keys(refused)) {
        if (before[name] === undefined) delete process.env[name];
        else process.env[name] = before[name];
      }
    }
    expect(existsSync(configuration)).toBe(true);
    await ensureUnpacked(packageSets.redis, options);
    expect(findUnpacked(own, packageSets.redis)).toBeDefined();
  }, 180_000);
});

test('a binary on the machine is run as a private instance of its own', async () => {
  const unpacked = findUnpacked(shared, packageSets.redis);
  if (unpacked === undefined) return;
  // Stands in for an installed one: the unpacked program, with its libraries.
  const bin = join(folder, 'machine', 'bin');
  const { file, args, env: libraries } = fromPackages(unpacked).command(unpacked.program, []);
  mkdirSync(bin, { recursive: true });
  writeFileSync(
    join(bin, 'redis-server'),
    `#!/bin/sh\nLD_LIBRARY_PATH='${libraries?.LD_LIBRARY_PATH ?? ''}' exec '${file}' ${args.join(' ')} "$@"\n`,
    { mode: 0o755 },
  );
  const path = process.env.PATH;
  process.env.PATH = `${bin}:${path}`;
  try {
    await upStack({ instance: 'two', env: { ...env, STACK_SOURCES: 'environment,machine' }, urls: lent('redis') });
    expect(readRecord(home, 'two', 'redis')).toMatchObject({ source: 'machine', version: unpacked.version });
  } finally {
    process.env.PATH = path;
    await downStack('two', { env });
  }
  expect(processesOfServer({ home, instance: 'two', name: 'redis' })).toEqual([]);
}, 180_000);

test('the command line tells its state in JSON and by its exit code', async () => {
  const cli = join(repositoryRoot, 'stack/cli.ts');
  const run = (args: string[], more: Record<string, string> = {}) =>
    runCommand(
      {
        file: process.execPath,
        args: [cli, ...args],
        env: { ...env, NODE_OPTIONS: '', STACK_INSTANCE: 'nobody', ...more } as Record<string, string>,
      },
      { timeoutMs: 30_000 },
    );
  const status = await run(['status', '--json']);
  expect([status.code, JSON.parse(status.stdout)]).toEqual([
    1,
    expect.objectContaining({ instance: 'nobody', up: false }),
  ]);
  expect(await run(['logs', 'postgres'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('mysql, rabbitmq, redis, consul'),
  });
  expect(await run(['nonsense'])).toMatchObject({ code: 2 });
  expect(await run(['status'], { STACK_DB: 'oracle' })).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('STACK_DB is "oracle"'),
  });
  expect(await run(['--help'])).toMatchObject({ code: 0, stdout: expect.stringContaining('STACK_SOURCES') });
}, 180_000);

/** As /proc/net writes them. */
const loopback: Record<string, string> = { '0100007F': 'loopback', '00000000000000000000000001000000': 'loopback' };

/** Addresses on which these processes listen, out of /proc/net/tcp and tcp6. */
function listeningAddresses(pids: readonly number[]): string[] {
  const inodes = new Set<string>();
  for (const pid of pids) {
    for (const fd of readdirSync(`/proc/${pid}/fd`)) {
      const match = /^socket:\[(\d+)\]$/.exec(readLink(`/proc/${pid}/fd/${fd}`));
      if (match?.[1] !== undefined) inodes.add(match[1]);
    }
  }
  const lines = ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, 'utf8').trim().split('\n').slice(1),
  );
  return lines.flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const [address = ''] = (fields[1] ?? '').split(':');
    const listening = fields[3] === '0A' && inodes.has(fields[9] ?? '');
    return listening ? [loopback[address] ?? address] : [];
  });
}

function readLink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
