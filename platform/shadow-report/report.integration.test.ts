import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { Difference } from '../compare/compare-answers.ts';
import { createRedis } from '../redis.ts';
import { eventually } from '../testing/eventually.ts';
import { testServers } from '../testing/servers.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { groupId, type RecordedComparison } from './entry.ts';
import { sliceKeys } from './keep.ts';
import { createShadowReport, type ReportBounds } from './report.ts';

const { redisUrl } = testServers();
const log = pino({ level: 'silent' });
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const slice = 'catalog';
const endpoint = 'GET /api/products/:id';
const price: Difference = { path: '$.price', at: '$.price', kind: 'value', monolith: 1, service: 2 };
const at = new Date('2026-01-01T00:00:00.000Z');

const kept = (text = 'x') => ({
  request: { method: 'GET', path: '/api/products/7', headers: [], body: { kind: 'none' as const } },
  monolith: { status: 200, headers: [], body: { kind: 'text' as const, text }, latencyMs: 1, effects: null },
  service: { status: 200, headers: [], body: { kind: 'none' as const }, latencyMs: 2, effects: null },
});

const comparison = (more: Partial<RecordedComparison> = {}): RecordedComparison => ({
  slice,
  endpoint,
  statusClass: '2xx',
  role: 'anonymous',
  access: 'read',
  outcome: 'same',
  differences: [],
  at,
  ...more,
});
const different = (more: Partial<RecordedComparison> = {}) =>
  comparison({ outcome: 'different', differences: [price], example: kept(), ...more });

/** Only what a test writes by hand is written, but for those that say otherwise; a busy machine is no absent Redis. */
function openReport({ prefix = `test:${randomUUID()}:`, bounds = {} as Partial<ReportBounds>, url = redisUrl } = {}) {
  const redis = createRedis({ url, log, commandTimeoutMs: 5_000 });
  const registry = new Registry();
  const report = createShadowReport({
    redis,
    log,
    prefix,
    registry,
    bounds: { flushMs: 3_600_000, exampleEveryMs: 0, ...bounds },
  });
  closers.push(async () => {
    if (redis.ready()) await redis.run(async (client) => client.del([...(await client.keys(`${prefix}*`)), prefix]));
    await redis.close();
  });
  return { redis, report, prefix, registry, ready: () => eventually(() => redis.ready()) };
}

describe('the report', () => {
  test('counts by outcome, by cell and by group', async () => {
    const { report, ready } = openReport();
    await ready();
    for (let n = 0; n < 3; n += 1) report.record(comparison());
    report.record(comparison({ role: 'admin', outcome: 'noise' }));
    report.record(different({ at: new Date(at.getTime() + 5) }));
    report.record(different({ differences: [price, { ...price, path: 'status', kind: 'status' }] }));
    expect(await report.flush()).toBe(true);
    expect(await report.summary(slice)).toEqual({
      comparisons: 6,
      outcomes: { same: 3, ignored: 0, noise: 1, lag: 0, racing: 0, accepted: 0, different: 2, failed: 0, skipped: 0 },
      first: at,
      last: new Date(at.getTime() + 5),
      groups: 2,
      unexplained: 2,
      unlisted: 0,
    });
    expect(await report.coverage(slice)).toEqual([
      { endpoint, statusClass: '2xx', role: 'admin', access: 'read', outcomes: { noise: 1 } },
      { endpoint, statusClass: '2xx', role: 'anonymous', access: 'read', outcomes: { same: 3, different: 2 } },
    ]);
    expect(await report.groups(slice)).toMatchObject([
      {
        id: groupId({ slice, endpoint, path: '$.price', kind: 'value' }),
        endpoint,
        path: '$.price',
        kind: 'value',
        count: 2,
        accepted: null,
      },
      { path: 'status', kind: 'status', count: 1 },
    ]);
  });

  test('of a slice of which nothing was compared is empty, and no error', async () => {
    const { report, ready } = openReport();
    await ready();
    expect(await report.summary(slice)).toMatchObject({ comparisons: 0, first: null, last: null, unexplained: 0 });
    expect(await report.groups(slice)).toEqual([]);
    expect(await report.coverage(slice)).toEqual([]);
    expect(await report.example(slice, 'none')).toBeNull();
    expect(await report.accept(slice, 'none', { by: 'ada', reason: 'x' })).toBe(false);
  });

  test('adds up what many proxies write at the same time', async () => {
    const prefix = `test:${randomUUID()}:`;
    const many = Array.from({ length: 8 }, () => openReport({ prefix }));
    for (const { ready } of many) await ready();
    const rounds = 25;
    await Promise.all(
      many.map(async ({ report }, proxy) => {
        for (let round = 0; round < rounds; round += 1) {
          report.record(comparison({ role: `role-${proxy % 2}` }));
          report.record(different());
          await report.flush();
        }
      }),
    );
    const { report } = many[0]!;
    expect(await report.summary(slice)).toMatchObject({
      comparisons: 2 * 8 * rounds,
      unexplained: 8 * rounds,
      groups: 1,
    });
    const cells = (await report.coverage(slice))!;
    expect(cells.map(({ role, outcomes }) => [role, outcomes.same ?? outcomes.different])).toEqual([
      ['anonymous', 8 * rounds],
      ['role-0', 4 * rounds],
      ['role-1', 4 * rounds],
    ]);
  });

  test('is written by itself, with what came in between', async () => {
    const { report, ready } = openReport({ bounds: { flushMs: 10 } });
    await ready();
    report.record(comparison());
    await eventually(async () => (await report.summary(slice))?.comparisons === 1);
    report.record(comparison());
    await report.close();
    expect((await report.summary(slice))?.comparisons).toBe(2);
  });

  test('gives an example as it was kept', async () => {
    const { report, ready } = openReport();
    await ready();
    report.record(different());
    await report.flush();
    const [group] = (await report.groups(slice))!;
    const example = await report.example(slice, group!.examples[0]!);
    expect(example).toEqual({
      id: group!.examples[0],
      slice,
      endpoint,
      role: 'anonymous',
      statusClass: '2xx',
      access: 'read',
      at,
      ...kept(),
      differences: [price],
    });
  });
});

describe('what somebody accepted', () => {
  test('is no mismatch any more, neither what was counted nor what comes', async () => {
    const { report, ready } = openReport();
    await ready();
    report.record(different());
    await report.flush();
    const { id } = (await report.groups(slice))![0]!;
    expect(report.accepts(slice, endpoint, [price])).toBe(false);
    expect(await report.accept(slice, id, { by: 'ada', reason: 'rounding was wrong' })).toBe(true);
    report.record(comparison());
    await report.flush();
    expect(report.accepts(slice, endpoint, [price])).toBe(true);
    report.record(different());
    await report.flush();
    expect(await report.summary(slice)).toMatchObject({
      unexplained: 0,
      outcomes: { different: 1, accepted: 1, same: 1 },
    });
    expect(await report.groups(slice)).toMatchObject([
      { id, count: 1, accepted: { by: 'ada', reason: 'rounding was wrong', count: 1, at: expect.any(Date) } },
    ]);
  });

  test('does not excuse what differs beside it', async () => {
    const { report, ready } = openReport();
    await ready();
    report.record(different());
    await report.flush();
    await report.accept(slice, groupId({ slice, endpoint, path: '$.price', kind: 'value' }), { by: 'a', reason: 'b' });
    report.record(different({ differences: [price, { ...price, path: '$.name' }] }));
    await report.flush();
    report.record(different({ differences: [price, { ...price, path: '$.name' }] }));
    await report.flush();
    expect(await report.summary(slice)).toMatchObject({ unexplained: 2, outcomes: { different: 3, accepted: 0 } });
  });

  test('can be taken back, and outlives a new beginning', async () => {
    const { report, ready } = openReport();
    await ready();
    report.record(different());
    await report.flush();
    const id = groupId({ slice, endpoint, path: '$.price', kind: 'value' });
    await report.accept(slice, id, { by: 'a', reason: 'b' });
    expect(await report.reset(slice)).toBe(true);
    expect(await report.summary(slice)).toMatchObject({ comparisons: 0, groups: 0, unexplained: 0 });
    report.record(comparison({ at: new Date() }));
    await report.flush();
    expect(report.accepts(slice, endpoint, [price])).toBe(true);
    expect(await report.unaccept(slice, id)).toBe(true);
    report.record(comparison({ at: new Date() }));
    await report.flush();
    expect(report.accepts(slice, endpoint, [price])).toBe(false);
  });
});

describe('a new beginning', () => {
  test('counts no request that came before it, however late its comparison ends', async () => {
    const { report, ready } = openReport();
    await ready();
    const before = new Date();
    report.record(different({ at: before }));
    await eventually(() => Date.now() > before.getTime());
    expect(await report.reset(slice)).toBe(false);
    // Held with one from before it, those from after it cannot be told apart any more.
    report.record(comparison({ at: new Date() }));
    await report.flush();
    expect(await report.summary(slice)).toMatchObject({ comparisons: 0, groups: 0, unexplained: 0 });
    report.record(different({ at: before }));
    report.record(comparison({ at: new Date() }));
    await report.flush();
    expect(await report.summary(slice)).toMatchObject({ comparisons: 1, unexplained: 0, outcomes: { same: 1 } });
    expect(report.lost()['too-old']).toBe(3);
  });
});

describe('the bounds', () => {
  test('of groups: more are counted as unexplained, and cannot be accepted away', async () => {
    const { report, ready } = openReport({ bounds: { maxGroups: 3 } });
    await ready();
    for (let n = 0; n < 10; n += 1) report.record(different({ differences: [{ ...price, path: `$.m${n}` }] }));
    await report.flush();
    expect(await report.groups(slice)).toHaveLength(3);
    expect(await report.summary(slice)).toMatchObject({ groups: 3, unexplained: 10, unlisted: 7 });
    expect(await report.accept(slice, 'unlisted', { by: 'a', reason: 'b' })).toBe(false);
  });

  test('of groups held by one process are kept likewise', async () => {
    const held = { maxCells: 10, maxGroups: 2, maxExamples: 5, maxExampleBytes: 10_000 };
    const { report, ready } = openReport({ bounds: { held } });
    await ready();
    for (let n = 0; n < 10; n += 1) report.record(different({ differences: [{ ...price, path: `$.m${n}` }] }));
    await report.flush();
    expect(await report.summary(slice)).toMatchObject({ groups: 2, unexplained: 10, unlisted: 8 });
    expect(report.lost().example).toBe(5);
  });

  test('of examples: the newest of each group stay, and no list names one that is gone', async () => {
    const { report, ready, redis, prefix } = openReport({ bounds: { maxExamplesPerGroup: 2 } });
    await ready();
    for (let n = 0; n < 6; n += 1) {
      const differences = n % 2 === 0 ? [price, { ...price, path: '$.even' }] : [price];
      report.record(different({ at: new Date(at.getTime() + n), differences, example: kept(`body ${n}`) }));
      await report.flush();
    }
    const groups = (await report.groups(slice))!;
    const bodies = async (path: string) => {
      const { examples } = groups.find((group) => group.path === path)!;
      const found = await Promise.all(examples.map((id) => report.example(slice, id)));
      return found.map((example) => (example!.monolith.body as { text: string }).text);
    };
    expect(await bodies('$.price')).toEqual(['body 5', 'body 4']);
    expect(await bodies('$.even')).toEqual(['body 4', 'body 2']);
    const keys = sliceKeys(prefix, slice);
    expect(await redis.client.hLen(keys.examples)).toBe(3);
    expect(await redis.client.hLen(keys.exampleRefs)).toBe(3);
    const texts = Object.values(await redis.client.hGetAll(keys.examples));
    expect(Number(await redis.client.hGet(keys.totals, 'exampleBytes'))).toBe(Buffer.byteLength(texts.join('')));
  });

  test('of bytes: the oldest examples go', async () => {
    const { report, ready, redis, prefix } = openReport({ bounds: { maxExampleBytes: 5_000 } });
    await ready();
    for (let n = 0; n < 10; n += 1) {
      const differences = [{ ...price, path: `$.m${n}` }];
      report.record(different({ at: new Date(at.getTime() + n), differences, example: kept('x'.repeat(1_000)) }));
      await report.flush();
    }
    const groups = (await report.groups(slice))!;
    const withExamples = groups.filter(({ examples }) => examples.length > 0).map(({ path }) => path);
    expect(withExamples.sort()).toEqual(['$.m7', '$.m8', '$.m9']);
    expect(Number(await redis.client.hGet(sliceKeys(prefix, slice).totals, 'exampleBytes'))).toBeLessThanOrEqual(5_000);
  });

  test('of cells: what has no room is counted as lost', async () => {
    const { report, ready, redis, prefix } = openReport({ bounds: { maxCells: 4 } });
    await ready();
    for (let n = 0; n < 10; n += 1) report.record(comparison({ role: `role-${n}` }));
    await report.flush();
    expect(await report.coverage(slice)).toHaveLength(4);
    expect(await redis.client.hGet(sliceKeys(prefix, slice).totals, 'lostCells')).toBe('6');
    expect((await report.summary(slice))?.comparisons).toBe(10);
  });

  test('of slices held by one process', () => {
    const { report } = openReport({ bounds: { maxSlices: 2 } });
    for (const name of ['a', 'b', 'c']) report.record(comparison({ slice: name }));
    expect(report.lost()).toEqual({ cell: 1, example: 0, batch: 0, 'too-old': 0 });
  });

  test('of time: everything but acceptances goes when nothing is compared any more', async () => {
    const { report, ready, redis, prefix } = openReport();
    await ready();
    report.record(different());
    await report.flush();
    const id = groupId({ slice, endpoint, path: '$.price', kind: 'value' });
    await report.accept(slice, id, { by: 'a', reason: 'b' });
    const lasting = [];
    for (const key of await redis.client.keys(`${prefix}*`)) {
      if ((await redis.client.pTTL(key)) < 0) lasting.push(key);
    }
    expect(lasting).toEqual([sliceKeys(prefix, slice).accepted]);
  });

  test('of how often an example is offered', async () => {
    const { report, ready } = openReport({ bounds: { exampleEveryMs: 3_600_000 } });
    await ready();
    for (let n = 0; n < 5; n += 1) report.record(different());
    report.record(different({ differences: [{ ...price, path: '$.other' }] }));
    await report.flush();
    expect((await report.groups(slice))!.map(({ path, examples }) => [path, examples.length])).toEqual([
      ['$.price', 1],
      ['$.other', 1],
    ]);
  });
});

describe('Redis that is away', () => {
  test('throws nothing, and what was compared meanwhile is written when it is back', async () => {
    const proxy = await startTcpProxy(redisUrl);
    closers.push(() => proxy.close());
    await proxy.refuse();
    const { report, redis } = openReport({ url: proxy.url });
    for (let n = 0; n < 1_000; n += 1) report.record(comparison());
    report.record(different());
    expect(await report.flush()).toBe(false);
    report.record(comparison());
    expect(await report.flush()).toBe(false);
    expect(await report.summary(slice)).toBeUndefined();
    expect(await report.groups(slice)).toBeUndefined();
    expect(await report.coverage(slice)).toBeUndefined();
    expect(await report.example(slice, 'x')).toBeUndefined();
    expect(await report.accept(slice, 'x', { by: 'a', reason: 'b' })).toBeUndefined();
    await proxy.pass();
    await eventually(() => redis.ready());
    expect(await report.flush()).toBe(true);
    expect(await report.summary(slice)).toMatchObject({ comparisons: 1_002, unexplained: 1 });
    expect(report.lost()).toEqual({ cell: 0, example: 0, batch: 0, 'too-old': 0 });
  });

  test('after it has taken a batch and before it has said so: nothing is counted twice', async () => {
    const proxy = await startTcpProxy(redisUrl);
    closers.push(() => proxy.close());
    const { report, redis, prefix } = openReport({ url: proxy.url });
    const { redis: witness, ready } = openReport({ prefix });
    await ready();
    await eventually(() => redis.ready());
    report.record(different());
    // Redis hears the batch, and its answer is lost with the connection.
    proxy.holdAnswers();
    const flushed = report.flush();
    const total = () => witness.client.hGet(sliceKeys(prefix, slice).totals, 'comparisons');
    await eventually(async () => (await total()) === '1');
    await proxy.refuse();
    expect(await flushed).toBe(false);
    await proxy.pass();
    await eventually(() => redis.ready());
    report.record(comparison());
    expect(await report.flush()).toBe(true);
    expect(await report.summary(slice)).toMatchObject({ comparisons: 2, unexplained: 1 });
  });

  test('that will never take a batch has it dropped and counted, and goes on with the next', async () => {
    const { report, ready, redis, prefix, registry } = openReport();
    await ready();
    await redis.client.set(sliceKeys(prefix, slice).cells, 'not a hash');
    report.record(comparison());
    expect(await report.flush()).toBe(true);
    expect(report.lost().batch).toBe(1);
    await redis.client.del(sliceKeys(prefix, slice).cells);
    report.record(comparison());
    expect(await report.flush()).toBe(true);
    expect(await registry.metrics()).toContain('shadow_report_lost_total{what="batch"} 1');
  });
});
