import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ProxyStatus } from '@strangler/platform/contracts/proxy-status.ts';
import { createLog } from '@strangler/platform/log.ts';
import { freePort } from '@strangler/platform/testing/sockets.ts';
import { Command } from 'commander';
import { exitCodes } from './exit-codes.ts';
import { commandFiles, runProgram } from './program.ts';
import type { Terminal } from './terminal.ts';

const silent: Terminal = {
  out: () => {},
  err: () => {},
  environment: {},
  log: createLog({ name: 'test', level: 'silent' }),
  signal: AbortSignal.abort(),
};

describe('strangler', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cli-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const run = async (line: string, environment: Record<string, string> = {}) => {
    const out: string[] = [];
    const err: string[] = [];
    const status = await runProgram(line.split(' '), {
      out: (text) => out.push(text),
      err: (text) => err.push(text),
      environment: { STRANGLER_FLAGS: `file://${folder}/flags.json`, STRANGLER_USER: 'ada', ...environment },
      log: createLog({ name: 'test', level: 'silent' }),
      signal: AbortSignal.abort(),
    });
    return { status, out: out.join('\n'), err: err.join('\n') };
  };
  const json = async (line: string) => JSON.parse((await run(line)).out);

  test('each file of commands adds those by whose names it is loaded, and help lists all of them', async () => {
    const { out } = await run('--help');
    for (const { names, load } of commandFiles) {
      const program = new Command();
      (await load())(program, silent);
      expect(program.commands.map((command) => command.name())).toEqual(names);
      for (const name of names) expect(out).toMatch(new RegExp(`^  ${name} `, 'm'));
    }
  });

  test('flag set changes the reads and says what they were', async () => {
    expect((await run('flag set catalog --reads 10')).out).toMatch(/^catalog: reads 10 % service.*\nwas: never set/);
    const second = await run('flag set catalog --reads 12.5% --reason more');
    expect(second.status).toBe(exitCodes.done);
    expect(second.out).toMatch(/^catalog: reads 12.5 % service, writes monolith, epoch 1\nwas: reads 10 % service/);
    expect(await json('flag show catalog --json')).toMatchObject({
      slice: 'catalog',
      reads: { percent: 12.5 },
      change: { by: 'ada', reason: 'more' },
    });
  });

  test('flag set --shadow scales what is compared, and says so unless it is all of it', async () => {
    expect((await run('flag set catalog --shadow 0')).out).toMatch(/^catalog: reads 0 % service, .*, shadow 0 %\n/);
    expect(await json('flag show catalog --json')).toMatchObject({ shadow: { percent: 0 } });
    expect((await run('flag set catalog --shadow 100')).out).toMatch(
      /^catalog: reads 0 % service, writes monolith, epoch 1\n/,
    );
    const refused = await run('flag set catalog --shadow much');
    expect([refused.status, refused.err]).toEqual([
      exitCodes.usage,
      expect.stringContaining('--shadow: expected a percentage'),
    ]);
  });

  test.each(['-1', '101', 'ten', '1.234', '', '1e1'])(
    'flag set refuses --reads %j, says why and changes nothing',
    async (percent) => {
      const refused = await run(`flag set catalog --reads=${percent}`);
      expect(refused.status).toBe(exitCodes.usage);
      expect(refused.err).toBe(
        `strangler: --reads: expected a percentage from 0 to 100 with at most two decimals, found "${percent}"`,
      );
      expect(await json('flag show --json')).toEqual([]);
    },
  );

  test('flag set refuses to change nothing', async () => {
    expect(await run('flag set catalog')).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringContaining('--reads'),
    });
  });

  test('flag set refuses a slice that no slice file describes, and names those that are', async () => {
    await mkdir(join(folder, 'slices/catalog'), { recursive: true });
    await writeFile(
      join(folder, 'slices/catalog/slice.yaml'),
      'slice: catalog\nservice: catalog\nroutes: [ GET /a ]\n',
    );
    const refused = await run(`flag set catalogue --reads 1 --slices ${folder}/slices`);
    expect(refused).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringMatching(/\(catalog\), found "catalogue"/),
    });
    expect((await run(`flag set catalog --reads 1 --slices ${folder}/slices`)).status).toBe(exitCodes.done);
  });

  test('flag set adds, replaces and removes a cohort', async () => {
    await run('flag set catalog --add-cohort staff --when header:x-team=shop --side service');
    await run('flag set catalog --add-cohort staff --when users:7,8 --side service');
    expect((await json('flag show catalog --json')).reads.cohorts).toEqual([
      { name: 'staff', when: { users: ['7', '8'] }, side: 'service' },
    ]);
    await run('flag set catalog --remove-cohort staff');
    expect((await json('flag show catalog --json')).reads.cohorts).toEqual([]);
    expect(await run('flag set catalog --remove-cohort staff')).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringContaining('(none)'),
    });
  });

  test('flag set refuses to take reads from a service that owns the writes, and to interfere with a cut-over', async () => {
    await run('flag set catalog --reads 100');
    const file = join(folder, 'flags.json');
    const all = JSON.parse(await readFile(file, 'utf8'));
    const withWrites = (writes: object) => writeFile(file, JSON.stringify({ catalog: { ...all.catalog, writes } }));
    await withWrites({ owner: 'service' });
    expect(await run('flag set catalog --reads 50')).toMatchObject({
      status: exitCodes.refused,
      err: expect.stringContaining('owns the writes'),
    });
    await withWrites({ owner: 'held', from: 'monolith', to: 'service', deadline: '2026-01-01T00:00:00Z' });
    expect(await run('flag set catalog --reads 100')).toMatchObject({
      status: exitCodes.refused,
      err: expect.stringContaining('cut-over'),
    });
  });

  test('flag history shows the newest change first, as many as are asked for', async () => {
    for (const percent of [1, 5, 0]) await run(`flag set catalog --reads ${percent} --reason step-${percent}`);
    expect(
      (await json('flag history catalog --limit 2 --json')).map(
        (one: { change: { reason: string } }) => one.change.reason,
      ),
    ).toEqual(['step-0', 'step-5']);
    expect((await run('flag history catalog')).out.split('\n')).toHaveLength(4);
    expect((await run('flag history catalog --limit 0')).status).toBe(exitCodes.usage);
  });

  test('flag show of an unknown slice fails and names those that are known', async () => {
    await run('flag set catalog --reads 1');
    expect(await run('flag show orders')).toMatchObject({
      status: exitCodes.failed,
      err: expect.stringMatching(/\(catalog\), found "orders"/),
    });
  });

  test('says in one line that the store cannot be reached, and how to name another', async () => {
    const failed = await run('flag show', { STRANGLER_FLAGS: 'consul://127.0.0.1:1' });
    expect(failed.status).toBe(exitCodes.unreachable);
    expect(failed.err.split('\n')).toHaveLength(1);
    expect(failed.err).toContain('--flags');
    expect((await run('flag show', { STRANGLER_FLAGS: 'redis://x' })).status).toBe(exitCodes.usage);
  });

  test('answers a misspelt command with usage and exit 2, and --help with exit 0', async () => {
    expect(await run('flga')).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringContaining('Did you mean flag?'),
    });
    expect(await run('--help')).toMatchObject({ status: exitCodes.done, out: expect.stringContaining('status') });
  });

  test('status shows how many workers obey, which instances serve, and which proxy does not answer', async () => {
    await run('flag set catalog --reads 10');
    const { change } = await json('flag show catalog --json');
    const worker = (number: number, changeId: string): ProxyStatus['workers'][number] => ({
      worker: number,
      pid: number,
      flagSource: 'store',
      flags: [{ slice: 'catalog', changeId, inForceAtMs: 1 }],
      inFlight: 0,
      upstreams: [
        {
          name: 'catalog-service',
          circuit: 'closed',
          inFlight: 0,
          maxConcurrent: 10,
          instances: ['a', 'b'].map((id) => ({
            id,
            origin: `http://${id}`,
            state: id === 'b' && number === 2 ? 'ejected' : 'healthy',
            outstanding: 0,
            failures: 0,
            ejectedUntil: null,
            latencyEwmaMs: null,
          })),
        },
      ],
    });
    const answer: ProxyStatus = {
      id: 'proxy-1',
      slices: [{ slice: 'catalog', service: 'catalog-service' }],
      workers: [
        {
          ...worker(1, change.id),
          shadow: [{ slice: 'catalog', outcomes: { same: 400, different: 2 }, dropped: { busy: 3 } }],
        },
        {
          ...worker(2, 'an older change'),
          shadow: [{ slice: 'catalog', outcomes: { lag: 8 }, dropped: { busy: 1, late: 1 } }],
        },
      ],
    };
    const proxy = createServer((_req, res) => res.end(JSON.stringify(answer))).listen(0, '127.0.0.1');
    await new Promise((listening) => proxy.once('listening', listening));
    try {
      const { port } = proxy.address() as AddressInfo;
      const status = await json(
        `status --json --proxy http://127.0.0.1:${port} --proxy http://127.0.0.1:${await freePort()}`,
      );
      expect(status.slices[0]).toMatchObject({ workers: { obeying: 1, all: 2 }, instances: { healthy: 1, known: 2 } });
      expect(status.slices[0].shadow).toEqual({ compared: 410, different: 2, dropped: { busy: 4, late: 1 } });
      expect(status.proxies).toMatchObject([
        { id: 'proxy-1', workers: 2 },
        { id: null, failure: expect.stringContaining('ECONNREFUSED') },
      ]);
      await rm(join(folder, 'flags.json'));
      const lost = (await run(`status --proxy http://127.0.0.1:${port}`)).out;
      expect(lost).toContain('LOST: the store has no document for catalog any more, and 2 workers go on');
      expect(lost).not.toContain('everything is on the monolith');
      await run('flag set catalog --reads 10');
      const text = (await run(`status --proxy http://127.0.0.1:${port}`)).out;
      expect(text).toContain('catalog: shadow off at stage monolith');
      expect(text).toContain('0 of 2 workers');
      expect(text).toContain('1 of 2 healthy');
    } finally {
      proxy.close();
    }
  });
});
