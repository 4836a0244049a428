import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createRedis, type Redis } from '@strangler/platform/redis.ts';
import type { RecordedComparison } from '@strangler/platform/shadow-report/entry.ts';
import { createShadowReport, type ShadowReport } from '@strangler/platform/shadow-report/report.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { testServers } from '@strangler/platform/testing/servers.ts';
import { freePort } from '@strangler/platform/testing/sockets.ts';
import { type SmallShop, smallShopApi, smallShopRoutes, startSmallShop } from '../shadow/small-shop.fixture.ts';
import { exitCodes } from './exit-codes.ts';
import { runProgram } from './program.ts';
import { judgeSliceComparison } from './shadow-figures.ts';
import type { Terminal } from './terminal.ts';

const { redisUrl } = testServers();
const log = createLog({ name: 'test', level: 'silent' });
const endpoint = 'GET /things/:id';
const name: Difference = { path: '$.name', at: '$.name', kind: 'value', monolith: 'thing 2', service: 'another' };

const sliceFile = `slice: things
service: things
openapi: ./api.yaml
routes: [ ${smallShopRoutes.join(', ')} ]
shadow: { writes: off }
gates: { shadow: { samples: 5, perCell: 2 } }
`;

let folder: string;
let redis: Redis;
let monolith: SmallShop;
let service: SmallShop;
let prefix: string;
let report: ShadowReport;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shadow-'));
  await mkdir(join(folder, 'things'));
  await writeFile(join(folder, 'things/slice.yaml'), sliceFile);
  await writeFile(join(folder, 'things/api.yaml'), smallShopApi);
  redis = createRedis({ url: redisUrl, log, commandTimeoutMs: 5_000 });
  monolith = await startSmallShop();
  service = await startSmallShop({ show: (id) => ({ id, name: 'another' }) });
  await eventually(() => redis.ready());
});
afterAll(async () => {
  await redis.close();
  await Promise.all([monolith.close(), service.close(), rm(folder, { recursive: true })]);
});
beforeEach(() => {
  prefix = `test:${randomUUID()}:`;
  report = createShadowReport({ redis, log, prefix, bounds: { flushMs: 3_600_000, exampleEveryMs: 0 } });
});
afterEach(async () => {
  await report.close();
  const keys = await redis.client.keys(`${prefix}*`);
  if (keys.length > 0) await redis.client.del(keys);
});

const terminalOf = (environment: Record<string, string> = {}) => {
  const out: string[] = [];
  const err: string[] = [];
  const terminal: Terminal = {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    environment: {
      STRANGLER_SLICES: folder,
      STRANGLER_USER: 'ada',
      REDIS_URL: redisUrl,
      STRANGLER_SHADOW_PREFIX: prefix,
      MONOLITH_URL: monolith.url,
      SERVICE_URL: service.url,
      PROXY_URL: monolith.url,
      ...environment,
    },
    log,
    signal: new AbortController().signal,
  };
  return { terminal, out, err };
};

const run = async (words: string[], environment: Record<string, string> = {}) => {
  const { terminal, out, err } = terminalOf(environment);
  const status = await runProgram(['shadow', ...words], terminal);
  return { status, out: out.join('\n'), err: err.join('\n') };
};
const json = async (...words: string[]) => JSON.parse((await run([...words, '--json'])).out);

const comparison = (more: Partial<RecordedComparison> = {}): RecordedComparison => ({
  slice: 'things',
  endpoint,
  statusClass: '2xx',
  role: 'anonymous',
  access: 'read',
  outcome: 'same',
  differences: [],
  at: new Date('2026-01-01T00:00:00Z'),
  ...more,
});
const answer = (value: unknown) => ({
  status: 200,
  headers: [],
  body: { kind: 'json' as const, value },
  latencyMs: 1,
  effects: null,
});
const different = (path = '/things/2', method = 'GET') =>
  comparison({
    outcome: 'different',
    differences: [name],
    example: {
      request: { method, path, headers: [], body: { kind: 'none' } },
      monolith: answer({ id: 2, name: 'thing 2' }),
      service: answer({ id: 2, name: 'another' }),
    },
  });
const recorded = async (...comparisons: RecordedComparison[]) => {
  for (const one of comparisons) report.record(one);
  await report.flush();
  return (await report.groups('things'))![0];
};

describe('shadow report', () => {
  test('of nothing says so, and which kinds of answers lack', async () => {
    const { status, out } = await run(['report', 'things']);
    expect(status).toBe(exitCodes.done);
    expect(out).toMatch(/^things: nothing was compared yet\n/);
    expect(out).toMatch(/GET \/things\/:id +4xx +any +0 +0 +2 +lacks/);
    expect(out).not.toContain('POST');
  });

  test('shows what came of it, by group and by kind of answer', async () => {
    const group = await recorded(comparison(), comparison(), different());
    const { out } = await run(['report', 'things']);
    expect(out).toContain(
      'things: 3 comparisons from 2026-01-01T00:00:00Z to 2026-01-01T00:00:00Z\nsame 2, different 1\n1 unexplained',
    );
    expect(out).toMatch(new RegExp(`${group!.id} +1 +GET /things/:id +value +\\$\\.name .*${group!.examples[0]} +no`));
    expect(out).toMatch(/GET \/things\/:id +2xx +any +2 +3 +2$/m);
    expect(await json('report', 'things')).toMatchObject({
      slice: 'things',
      comparisons: 3,
      unexplained: 1,
      groups: [{ id: group!.id, path: '$.name', count: 1, accepted: null }],
      coverage: expect.arrayContaining([
        { endpoint, access: 'read', statusClass: '2xx', role: 'any', clean: 2, seen: 3 },
      ]),
    });
  });

  test('needs a slice, its file and Redis', async () => {
    expect(await run(['report', 'none'])).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringContaining('(things), found "none"'),
    });
    expect(await run(['report', 'things', '--redis', 'http://a'])).toMatchObject({ status: exitCodes.usage });
    const away = await run(['report', 'things', '--redis', `redis://:secret@127.0.0.1:${await freePort()}`]);
    expect(away).toMatchObject({
      status: exitCodes.unreachable,
      err: expect.stringMatching(/^strangler: Redis at redis:\/\/127.0.0.1:\d+ does not answer/),
    });
    expect(away.err).not.toContain('secret');
    const bad = await run(['report', 'things', '--openapi', join(folder, 'none.yaml')]);
    expect(bad).toMatchObject({
      status: exitCodes.failed,
      err: expect.stringContaining('none.yaml: expected an OpenAPI description, found ENOENT'),
    });
  });
});

describe('a command that needs Redis', () => {
  /** Less than Redis's own tries to connect would take. */
  const soonMs = 2_500;
  const reportFrom = async (url: string) => {
    const beganMs = performance.now();
    const { status, out, err } = await run(['report', 'things', '--redis', url]);
    return { status, out, err, tookMs: performance.now() - beganMs };
  };
  const says = (url: string) =>
    `strangler: Redis at ${url} does not answer, and the report of compared answers is there. Name another with --redis or $REDIS_URL.`;

  test('ends soon where the connection is refused, in one line', async () => {
    const url = `redis://127.0.0.1:${await freePort()}`;
    const { tookMs, ...end } = await reportFrom(url);
    expect(end).toEqual({ status: exitCodes.unreachable, out: '', err: says(url) });
    expect(tookMs).toBeLessThan(soonMs);
  });

  test('ends soon where the connection is taken and nothing comes over it', async () => {
    let open = 0;
    const silent = net.createServer((socket) => {
      open += 1;
      socket.resume().on('close', () => {
        open -= 1;
      });
    });
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    try {
      const url = `redis://127.0.0.1:${(silent.address() as AddressInfo).port}`;
      const { tookMs, ...end } = await reportFrom(url);
      expect(end).toEqual({ status: exitCodes.unreachable, out: '', err: says(url) });
      expect(tookMs).toBeLessThan(soonMs);
      // Nor does anything of it stay behind.
      await eventually(() => expect(open).toBe(0));
    } finally {
      silent.close();
    }
  });
});

describe('shadow show', () => {
  test('shows a group with its newest example, and an example whole', async () => {
    const group = await recorded(different());
    const { out } = await run(['show', 'things', group!.id]);
    expect(out).toContain('kind      value: the same member has another value');
    expect(out).toContain('GET /things/2');
    expect(out).toContain('$.name: value\n  monolith  "thing 2"\n  service   "another"');
    expect(out).toMatch(/the service answered 200 in 1 ms\n {2}\{\n/);
    expect(await json('show', 'things', group!.examples[0]!)).toMatchObject({
      group: null,
      example: { role: 'anonymous' },
    });
  });

  test('names what there is where it is asked for something else', async () => {
    const group = await recorded(different());
    expect(await run(['show', 'things', 'x'])).toMatchObject({
      status: exitCodes.failed,
      err: expect.stringContaining(group!.id),
    });
  });
});

describe('shadow accept, unaccept and reset', () => {
  test('take a group out of what is unexplained, and back', async () => {
    const { id } = (await recorded(different()))!;
    const accepted = await run(['accept', 'things', id, '--reason', 'the monolith rounds wrongly']);
    expect(accepted.out).toBe(`things: ${id} is accepted by ada: the monolith rounds wrongly\n0 unexplained now`);
    expect((await run(['report', 'things'])).out).toContain('ada: the monolith rounds wrongly');
    expect((await run(['unaccept', 'things', id])).out).toContain('1 unexplained now');
    expect(await run(['unaccept', 'things', id])).toMatchObject({ status: exitCodes.failed });
  });

  test('want a reason, and a group that there is', async () => {
    const { id } = (await recorded(different()))!;
    expect(await run(['accept', 'things', id])).toMatchObject({
      status: exitCodes.usage,
      err: expect.stringContaining('--reason'),
    });
    expect(await run(['accept', 'things', id, '--reason', ' '])).toMatchObject({ status: exitCodes.usage });
    expect(await run(['accept', 'things', 'x', '--reason', 'y'])).toMatchObject({
      status: exitCodes.failed,
      err: expect.stringContaining(id),
    });
    expect(await run(['reset', 'things'])).toMatchObject({ status: exitCodes.usage });
  });

  test('begin anew after the service was mended', async () => {
    await recorded(different(), comparison());
    const { out } = await run(['reset', 'things', '--reason', 'names are right now']);
    expect(out).toContain('2 comparisons');
    expect(out).toContain('forgotten by ada: names are right now');
    expect(await report.summary('things')).toMatchObject({ comparisons: 0, unexplained: 0 });
  });
});

describe('shadow replay', () => {
  test('sends the request of an example to both sides again and says how they differ', async () => {
    const group = await recorded(different());
    const asked = monolith.asked.length;
    const { status, out, err } = await run(['replay', 'things', group!.examples[0]!], {
      STRANGLER_TOKENS: 'admin=ada',
    });
    expect(out).toBe(
      'GET /things/2: monolith 200, service 200\n$.name: value\n  monolith  "thing 2"\n  service   "another"',
    );
    expect([status, err]).toEqual([exitCodes.failed, 'strangler: things: the answers differ in one place']);
    expect(monolith.asked.slice(asked)).toEqual(['GET /things/2 as Bearer ada']);
  });

  test('ends well when they agree now', async () => {
    const group = await recorded(different('/things'));
    const { status, out } = await run(['replay', 'things', group!.examples[0]!]);
    expect([status, out]).toEqual([exitCodes.done, 'GET /things: monolith 200, service 200\nno difference']);
  });

  test('sends no write, and needs an example and both sides', async () => {
    const group = await recorded(different('/things', 'POST'));
    const id = group!.examples[0]!;
    expect(await run(['replay', 'things', id])).toMatchObject({
      status: exitCodes.refused,
      err: expect.stringContaining('a write is not sent again'),
    });
    expect(await run(['replay', 'things', 'x'])).toMatchObject({ status: exitCodes.failed });
    expect(await run(['replay', 'things', id], { SERVICE_URL: '' })).toMatchObject({ status: exitCodes.usage });
    await report.reset('things');
    const reads = await recorded({ ...different(), at: new Date() });
    const away = await run([
      'replay',
      'things',
      reads!.examples[0]!,
      '--service',
      `http://127.0.0.1:${await freePort()}`,
    ]);
    expect(away).toMatchObject({ status: exitCodes.unreachable, err: expect.stringContaining('ECONNREFUSED') });
  });
});

describe('shadow calibrate', () => {
  test('prints rules that a slice file takes as they are', async () => {
    let n = 0;
    const noisy = await startSmallShop({ more: () => ({ requestId: `r${++n}` }) });
    try {
      const { status, out } = await run([
        'calibrate',
        'things',
        '--monolith',
        noisy.url,
        '--pairs',
        '5',
        '--gap',
        '0ms',
      ]);
      expect(status).toBe(exitCodes.done);
      expect(out).toContain('# GET /things/:id: 5 pairs, $.requestId differs in 5');
      expect(out).toContain('# GET /me: not asked: it wants somebody who is signed in: give --token');
      const { slice, faults } = parseSliceFile(`${sliceFile}${out}`, 'slice.yaml');
      expect(faults).toEqual([]);
      expect(slice?.compare.ignore).toEqual([
        {
          path: '$.requestId',
          route: null,
          reason: expect.stringContaining("of the monolith's own answers"),
          by: 'ada',
        },
      ]);
    } finally {
      await noisy.close();
    }
  });

  test('says that there is nothing to add, or nobody to ask', async () => {
    expect((await run(['calibrate', 'things', '--pairs', '2', '--gap', '0ms'])).out).toContain(
      '# nothing to add to the compare of things',
    );
    const away = await run([
      'calibrate',
      'things',
      '--gap',
      '0ms',
      '--monolith',
      `http://127.0.0.1:${await freePort()}`,
    ]);
    expect(away).toMatchObject({ status: exitCodes.failed, err: expect.stringContaining('no route was asked twice') });
  });
});

describe('shadow drive', () => {
  test('makes what lacks, tells what it could not make, and leaves alone what there is enough of', async () => {
    await recorded(comparison(), comparison());
    const asked = monolith.asked.length;
    const { status, out, err } = await run(['drive', 'things', '--rate', '1000', '--token', 'ada']);
    expect(status).toBe(exitCodes.failed);
    expect(out).toMatch(/GET \/things +304|GET \/things +3xx +any +0 +2 +2 +2\n/);
    expect(out).toMatch(/GET \/search +2xx +any +0 +2 +0 +0 +the query parameter code is required and has no example/);
    expect(out).not.toMatch(/GET \/things\/:id +2xx/);
    expect(err).toContain('kinds of answers still lack some');
    expect(monolith.asked.slice(asked).every((line) => line.startsWith('GET'))).toBe(true);
    expect(monolith.asked.slice(asked)).toContain('GET /me as Bearer ada');
  });

  test('says that the proxy is not there', async () => {
    const away = await run([
      'drive',
      'things',
      '--rate',
      '1000',
      '--proxy',
      `http://127.0.0.1:${await freePort()}`,
      '--token',
      'ada',
    ]);
    expect(away.status).not.toBe(exitCodes.done);
    expect(away.out + away.err).toContain('no answer');
  });
});

describe('the gate into canary', () => {
  const { slice } = parseSliceFile(sliceFile, 'slice.yaml');
  const judge = (options = {}, over = {}) =>
    judgeSliceComparison({ ...slice!, ...over }, join(folder, 'things'), options, terminalOf().terminal);
  const shut = async () => (await judge()).filter(({ state }) => state === 'shut').map(({ gate }) => gate);

  test('opens as comparisons come in, shuts by a difference, and opens when that is accepted', async () => {
    expect(await shut()).toEqual(['samples']);
    await recorded(comparison(), comparison());
    expect(await shut()).toEqual(['samples', 'coverage']);
    const kinds = (await json('report', 'things')).coverage as RecordedComparison[];
    for (const { endpoint: route, statusClass, role } of kinds) {
      const asked = (role as string) === 'signed in' ? 'user' : 'anonymous';
      await recorded(...[1, 2].map(() => comparison({ endpoint: route, statusClass, role: asked })));
    }
    expect(await shut()).toEqual([]);
    const group = await recorded(different());
    expect(await shut()).toEqual(['mismatches']);
    await run(['accept', 'things', group!.id, '--reason', 'known']);
    expect(await shut()).toEqual([]);
  });

  test('is shut while Redis is away, and asks nobody where nothing is compared', async () => {
    const redisAway = { redis: `redis://127.0.0.1:${await freePort()}` };
    expect(await judge(redisAway)).toMatchObject([
      { gate: 'samples', state: 'shut', found: expect.stringContaining('Redis') },
    ]);
    expect(await judge(redisAway, { gates: { ...slice!.gates, shadow: null } })).toEqual([]);
  });
});
