import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createRedis, type Redis } from '@strangler/platform/redis.ts';
import { createShadowReport, defaultReportPrefix } from '@strangler/platform/shadow-report/report.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { json, type ShadowProgram, type ShadowSlice, startShadowProgram } from '../testing/start-shadow-program.ts';

/** Keeps a report in Redis. */
let program: ShadowProgram;
/** Has small bounds. */
let bounded: ShadowProgram;
/** Between the first and Redis. */
let line: TcpProxy;
/** That of the test which runs. */
let slice: ShadowSlice;

beforeAll(async () => {
  line = await startTcpProxy(testServers().redisUrl);
  program = await startShadowProgram(
    { dead: {}, flooding: {}, nonsense: {}, reported: {}, unreported: {} },
    { SHADOW_TIMEOUT: '1s', SHADOW_RECHECKS: '4', REDIS_URL: line.url.replace(/^http/, 'redis') },
  );
  bounded = await startShadowProgram(
    { silent: {}, large: { makesDryRuns: true }, many: {} },
    {
      ...{ SHADOW_TIMEOUT: '1500', SHADOW_QUEUE: '8', SHADOW_CONCURRENCY: '4' },
      ...{ SHADOW_MAX_REQUEST: '1KiB', SHADOW_MAX_ANSWER: '2KiB', SHADOW_MEMORY: '40KiB' },
    },
  );
}, 180_000);
afterAll(async () => {
  await program?.end();
  await bounded?.end();
  await line.close();
});

const compared = (outcome: string) => slice.figure('strangler_shadow_compared_total', { outcome });
const dropped = (reason?: string) =>
  slice.figure('strangler_shadow_dropped_total', reason === undefined ? {} : { reason });
const within = { withinMs: 30_000 };

/** Reads, a few at a time; every one must be answered by the monolith, as if nothing else were there. */
const readMany = async (count: number): Promise<void> => {
  let left = count;
  const reader = async () => {
    while (left > 0) {
      left -= 1;
      const answer = await fetch(`${slice.url}/7`);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toEqual({ id: 7, name: 'Walnut desk' });
    }
  };
  await Promise.all(Array.from({ length: 16 }, reader));
};
const nothingOpen = (of: ShadowProgram) =>
  eventually(async () => {
    for (const name of [
      'strangler_shadow_open',
      'strangler_shadow_waiting',
      'strangler_shadow_rechecks',
      'strangler_shadow_memory_bytes',
    ]) {
      expect([name, await of.figure(name)]).toEqual([name, 0]);
    }
  }, within);
const workerPid = async () => (await program.status()).workers[0]!.pid;
const residentBytes = async () =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${await workerPid()}/status`, 'utf8'))![1]) * 1_024;

describe('live requests go on as if nothing were compared', () => {
  test('while the service is dead: it is left alone after a few tries', async () => {
    slice = program.slice('dead');
    await slice.service.die();
    await readMany(400);
    await eventually(async () => expect(await dropped()).toBeGreaterThan(300), within);
    expect(await compared('failed')).toBeLessThan(60);
    expect(await slice.figure('strangler_requests_total', { side: 'monolith', outcome: '2xx' })).toBe(400);
    // What the live side knows of the service is its own.
    expect(await program.figure('strangler_upstream_instances', { upstream: 'dead', state: 'healthy' })).toBe(1);
    await nothingOpen(program);
  });

  test('while the service does not answer: bounded by time and number', async () => {
    slice = bounded.slice('silent');
    slice.service.answerWith(() => {});
    await readMany(200);
    await eventually(async () => expect((await dropped()) + (await compared('failed'))).toBe(200), within);
    expect(await dropped('queue-full')).toBeGreaterThan(0);
    expect((await dropped('queue-full')) + (await dropped('all-ejected'))).toBeGreaterThan(100);
    expect(slice.service.seen.length).toBeLessThan(60);
    await nothingOpen(bounded);
  });

  test('while the service floods: answers without an end, or far too large, are cut, and memory stays bounded', async () => {
    slice = program.slice('flooding');
    const flood = Buffer.alloc(64 * 1_024, 'x');
    slice.service.answerWith((_req, res) => {
      const pour = (): void => {
        while (!res.destroyed && res.write(flood)) {}
      };
      res.on('drain', pour);
      pour();
    });
    await readMany(20);
    const before = await residentBytes();
    await readMany(300);
    await eventually(async () => {
      const ended = (await dropped()) + (await compared('different')) + (await compared('failed'));
      expect(ended).toBe(320);
    }, within);
    expect(await compared('different')).toBeGreaterThan(0);
    expect((await residentBytes()) - before).toBeLessThan(100 * 1_024 ** 2);
    await nothingOpen(program);
  });

  test('while the service sends what is no HTTP, breaks off, or asks to be something else', async () => {
    slice = program.slice('nonsense');
    let turn = 0;
    slice.service.answerWith((req, res) => {
      turn += 1;
      if (turn % 3 === 0) req.socket.end('HTTP/1.1 no\r\n\r\n');
      else if (turn % 3 === 1) req.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf');
      else {
        res.writeHead(101, { upgrade: 'chat', connection: 'upgrade' });
        res.end();
      }
    });
    await readMany(60);
    await eventually(async () => expect((await dropped()) + (await compared('failed'))).toBe(60), within);
    expect(await program.figure('strangler_shadow_defects_total')).toBe(0);
    await nothingOpen(program);
  });
});

describe('what is too large or has no end', () => {
  test('is not copied: uploads, downloads and event streams go by, and are counted', async () => {
    slice = bounded.slice('large');
    const big = Buffer.alloc(3 * 1024 * 1024, 'y');
    slice.monolith.answerWith((req, res) => {
      if (req.method === 'POST') {
        const hash = createHash('sha256');
        req.on('data', (chunk: string) => hash.update(Buffer.from(chunk, 'latin1')));
        req.on('end', () => json(res, { sha256: hash.digest('hex') }, 201));
      } else if (req.url === slice.path) {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.write('data: 1\n\n');
        setTimeout(() => res.end('data: 2\n\n'), 50);
      } else if (req.url === `${slice.path}/chunked`) {
        res.write(big);
        res.end();
      } else res.end(big);
    });
    const sha256 = createHash('sha256').update(big).digest('hex');
    const post = (headers: Record<string, string>, chunked: boolean) =>
      new Promise<string>((resolve, reject) => {
        const request = http.request(slice.url, { method: 'POST', headers }, (answer) => {
          let text = '';
          answer.setEncoding('utf8').on('data', (part: string) => {
            text += part;
          });
          answer.on('end', () => resolve(text));
        });
        request.on('error', reject);
        if (headers.expect !== undefined) request.on('continue', () => request.end(big));
        else if (chunked) {
          request.write(big);
          request.end();
        } else request.end(big);
      });
    expect(JSON.parse(await post({ 'content-length': `${big.length}` }, false))).toEqual({ sha256 });
    expect(JSON.parse(await post({}, true))).toEqual({ sha256 });
    expect(JSON.parse(await post({ 'content-length': `${big.length}`, expect: '100-continue' }, false))).toEqual({
      sha256,
    });
    for (const path of ['7', 'chunked']) {
      const answer = await fetch(`${slice.url}/${path}`);
      expect(Buffer.from(await answer.arrayBuffer()).equals(big)).toBe(true);
    }
    expect(await (await fetch(slice.url)).text()).toBe('data: 1\n\ndata: 2\n\n');
    await eventually(async () => {
      expect(await dropped('request-too-large')).toBe(3);
      expect(await dropped('answer-too-large')).toBe(2);
      expect(await dropped('streamed')).toBe(1);
    }, within);
    expect(slice.service.seen).toEqual([]);
    await nothingOpen(bounded);
  });

  test('is not kept all together either: what is over the memory for copies is not compared', async () => {
    slice = bounded.slice('many');
    // A copy of each takes 2 KiB.
    const half = 'z'.repeat(950);
    const held: (() => void)[] = [];
    slice.monolith.answerWith((_req, res) => {
      res.write(half);
      res.write(half);
      held.push(() => res.end());
    });
    const reading = Array.from({ length: 30 }, () => readSlowly(`${slice.url}/7`, half.length * 2));
    await Promise.all(reading.map(({ begun }) => begun));
    for (const end of held) end();
    for (const { whole } of reading) expect(await whole).toBe(half + half);
    await eventually(async () => expect(await dropped('memory')).toBe(10), within);
    await nothingOpen(bounded);
  });
});

/** An answer whose end may be long in coming. */
const readSlowly = (url: string, beginning: number): { begun: Promise<unknown>; whole: Promise<string> } => {
  const begun = Promise.withResolvers<void>();
  const whole = Promise.withResolvers<string>();
  http
    .get(url, { agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('latin1').on('data', (part: string) => {
        text += part;
        if (text.length >= beginning) begun.resolve();
      });
      answer.on('end', () => whole.resolve(text));
    })
    .on('error', (error) => {
      begun.reject(error);
      whole.reject(error);
    });
  return { begun: begun.promise, whole: whole.promise };
};

describe('the report in Redis', () => {
  const log = createLog({ name: 'test', level: 'silent' });
  let redis: Redis;
  const keysOf = async (name: string): Promise<string[]> =>
    (await redis.client.keys(`${defaultReportPrefix}{${name}}*`)) as string[];
  const keys = () => keysOf(slice.path.slice('/api/'.length));
  beforeAll(async () => {
    redis = createRedis({ url: testServers().redisUrl, log, commandTimeoutMs: 2_000 });
    await eventually(() => redis.ready());
  });
  afterAll(async () => {
    for (const key of await keysOf('*')) await redis.client.del(key);
    await redis.close();
  });

  const secrets = ['s3cr3t-token', 's3cr3t-cookie', 's3cr3t-answer', 's3cr3t-query'];
  const readWithSecrets = () =>
    fetch(`${slice.url}/7?access_token=${secrets[3]}`, {
      headers: { authorization: `Bearer ${secrets[0]}`, cookie: `sid=${secrets[1]}` },
    }).then((answer) => answer.text());
  const dump = async (): Promise<string> => {
    let text = '';
    for (const key of await keys()) {
      const type = await redis.client.type(key);
      if (type === 'hash') text += JSON.stringify(await redis.client.hGetAll(key));
      else if (type === 'zset') text += JSON.stringify(await redis.client.zRange(key, 0, -1));
      else text += JSON.stringify(await redis.client.get(key));
    }
    return text;
  };

  test('has what was found, with an example, and nothing by which anybody could log in', async () => {
    slice = program.slice('reported');
    const answerAs = (name: string) => (_req: unknown, res: http.ServerResponse) => {
      res.setHeader('set-cookie', `sid=${secrets[2]}`);
      json(res, { id: 7, name, token: secrets[2] });
    };
    slice.monolith.answerWith(answerAs('Walnut desk'));
    slice.service.answerWith(answerAs('Oak desk'));
    await readWithSecrets();
    const report = createShadowReport({ redis, log });
    try {
      await eventually(async () => {
        const groups = await report.groups('reported');
        expect(groups).toMatchObject([{ endpoint: 'GET /api/reported/:id', path: '$.name', kind: 'value', count: 1 }]);
        expect(groups![0]!.examples).toHaveLength(1);
      }, within);
    } finally {
      await report.close();
    }
    const kept = await dump();
    expect(kept).toContain('Oak desk');
    for (const secret of secrets) expect(kept).not.toContain(secret);
  });

  test('is written when Redis is back; while it is away comparing goes on, and live requests know nothing of it', async () => {
    slice = program.slice('unreported');
    await line.refuse();
    await eventually(async () => expect(await program.figure('strangler_shadow_report_reachable')).toBe(0), within);
    const before = await keys();
    await readMany(20);
    await eventually(async () => expect(await compared('same')).toBe(20), within);
    expect(await keys()).toEqual(before);
    const report = createShadowReport({ redis, log });
    expect(await report.summary('unreported')).toMatchObject({ comparisons: 0 });
    await line.pass();
    await eventually(async () => expect((await report.summary('unreported'))?.comparisons).toBe(20), within);
    await report.close();
  });
});
