import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createRedis, type Redis } from '@strangler/platform/redis.ts';
import { createShadowReport, defaultReportPrefix } from '@strangler/platform/shadow-report/report.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { json, type ShadowProgram, type ShadowWishes, startShadowProgram } from '../testing/start-shadow-program.ts';

let program: ShadowProgram;
afterEach(() => program.end());
const start = async (wishes: ShadowWishes = {}): Promise<void> => {
  program = await startShadowProgram(wishes);
};

const compared = (outcome: string) => program.figure('strangler_shadow_compared_total', { outcome });
const dropped = (reason?: string) =>
  program.figure('strangler_shadow_dropped_total', reason === undefined ? {} : { reason });
const within = { withinMs: 30_000 };

/** Reads, a few at a time; every one must be answered by the monolith, as if nothing else were there. */
const readMany = async (count: number): Promise<void> => {
  let left = count;
  const reader = async () => {
    while (left > 0) {
      left -= 1;
      const answer = await fetch(`${program.url}/api/products/7`);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toEqual({ id: 7, name: 'Walnut desk' });
    }
  };
  await Promise.all(Array.from({ length: 16 }, reader));
};
const nothingOpen = () =>
  eventually(async () => {
    for (const name of [
      'strangler_shadow_open',
      'strangler_shadow_waiting',
      'strangler_shadow_rechecks',
      'strangler_shadow_memory_bytes',
    ]) {
      expect([name, await program.figure(name)]).toEqual([name, 0]);
    }
  }, within);
const workerPid = async () => (await program.status()).workers[0]!.pid;
const residentBytes = async () =>
  Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${await workerPid()}/status`, 'utf8'))![1]) * 1_024;

describe('live requests go on as if nothing were compared', () => {
  test('while the service is dead: it is left alone after a few tries', async () => {
    await start();
    await program.service.die();
    await readMany(400);
    await eventually(async () => expect(await dropped()).toBeGreaterThan(300), within);
    expect(await compared('failed')).toBeLessThan(60);
    expect(await program.figure('strangler_requests_total', { side: 'monolith', outcome: '2xx' })).toBe(400);
    // What the live side knows of the service is its own.
    expect(await program.figure('strangler_upstream_instances', { upstream: 'catalog', state: 'healthy' })).toBe(1);
    await nothingOpen();
  });

  test('while the service does not answer: bounded by time and number', async () => {
    await start({ env: { SHADOW_TIMEOUT: '300', SHADOW_QUEUE: '8', SHADOW_CONCURRENCY: '4' } });
    program.service.answerWith(() => {});
    await readMany(200);
    await eventually(async () => expect((await dropped()) + (await compared('failed'))).toBe(200), within);
    expect(await dropped('queue-full')).toBeGreaterThan(0);
    expect((await dropped('queue-full')) + (await dropped('all-ejected'))).toBeGreaterThan(100);
    expect(program.service.seen.length).toBeLessThan(60);
    await nothingOpen();
  });

  test('while the service floods: answers without an end, or far too large, are cut, and memory stays bounded', async () => {
    await start({ env: { SHADOW_TIMEOUT: '1s', SHADOW_RECHECKS: '4' } });
    const flood = Buffer.alloc(64 * 1_024, 'x');
    program.service.answerWith((_req, res) => {
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
    await nothingOpen();
  });

  test('while the service sends what is no HTTP, breaks off, or asks to be something else', async () => {
    await start();
    let turn = 0;
    program.service.answerWith((req, res) => {
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
    await nothingOpen();
  });
});

describe('what is too large or has no end', () => {
  test('is not copied: uploads, downloads and event streams go by, and are counted', async () => {
    await start({ env: { SHADOW_MAX_REQUEST: '1KiB', SHADOW_MAX_ANSWER: '2KiB' }, makesDryRuns: true });
    const big = Buffer.alloc(3 * 1024 * 1024, 'y');
    program.monolith.answerWith((req, res) => {
      if (req.method === 'POST') {
        const hash = createHash('sha256');
        req.on('data', (chunk: string) => hash.update(Buffer.from(chunk, 'latin1')));
        req.on('end', () => json(res, { sha256: hash.digest('hex') }, 201));
      } else if (req.url === '/api/products') {
        res.writeHead(200, { 'content-type': 'text/event-stream' });
        res.write('data: 1\n\n');
        setTimeout(() => res.end('data: 2\n\n'), 50);
      } else if (req.url === '/api/products/chunked') {
        res.write(big);
        res.end();
      } else res.end(big);
    });
    const sha256 = createHash('sha256').update(big).digest('hex');
    const post = (headers: Record<string, string>, chunked: boolean) =>
      new Promise<string>((resolve, reject) => {
        const request = http.request(`${program.url}/api/products`, { method: 'POST', headers }, (answer) => {
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
      const answer = await fetch(`${program.url}/api/products/${path}`);
      expect(Buffer.from(await answer.arrayBuffer()).equals(big)).toBe(true);
    }
    expect(await (await fetch(`${program.url}/api/products`)).text()).toBe('data: 1\n\ndata: 2\n\n');
    await eventually(async () => {
      expect(await dropped('request-too-large')).toBe(3);
      expect(await dropped('answer-too-large')).toBe(2);
      expect(await dropped('streamed')).toBe(1);
    }, within);
    expect(program.service.seen).toEqual([]);
    await nothingOpen();
  });

  test('is not kept all together either: what is over the memory for copies is not compared', async () => {
    await start({ env: { SHADOW_MEMORY: '20KiB' } });
    const large = 'z'.repeat(30_000);
    program.monolith.answerWith((_req, res) => res.end(large));
    expect(await (await fetch(`${program.url}/api/products/7`)).text()).toBe(large);
    await eventually(async () => expect(await dropped('memory')).toBe(1), within);
    await nothingOpen();
  });
});

describe('the report in Redis', () => {
  const log = createLog({ name: 'test', level: 'silent' });
  let redis: Redis;
  const keys = async (): Promise<string[]> => (await redis.client.keys(`${defaultReportPrefix}{catalog}*`)) as string[];
  beforeEach(async () => {
    redis = createRedis({ url: testServers().redisUrl, log, commandTimeoutMs: 2_000 });
    await eventually(() => redis.ready());
    for (const key of await keys()) await redis.client.del(key);
  });
  afterEach(async () => {
    for (const key of await keys()) await redis.client.del(key);
    await redis.close();
  });

  const secrets = ['s3cr3t-token', 's3cr3t-cookie', 's3cr3t-answer', 's3cr3t-query'];
  const readWithSecrets = () =>
    fetch(`${program.url}/api/products/7?access_token=${secrets[3]}`, {
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
    await start({ env: { REDIS_URL: testServers().redisUrl } });
    const answerAs = (name: string) => (_req: unknown, res: http.ServerResponse) => {
      res.setHeader('set-cookie', `sid=${secrets[2]}`);
      json(res, { id: 7, name, token: secrets[2] });
    };
    program.monolith.answerWith(answerAs('Walnut desk'));
    program.service.answerWith(answerAs('Oak desk'));
    await readWithSecrets();
    const report = createShadowReport({ redis, log });
    try {
      await eventually(async () => {
        const groups = await report.groups('catalog');
        expect(groups).toMatchObject([{ endpoint: 'GET /api/products/:id', path: '$.name', kind: 'value', count: 1 }]);
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
    const line = await startTcpProxy(testServers().redisUrl);
    await start({ env: { REDIS_URL: line.url.replace(/^http/, 'redis') } });
    try {
      await line.refuse();
      await eventually(async () => expect(await program.figure('strangler_shadow_report_reachable')).toBe(0), within);
      await readMany(20);
      await eventually(async () => expect(await compared('same')).toBe(20), within);
      expect(await keys()).toEqual([]);
      await line.pass();
      const report = createShadowReport({ redis, log });
      await eventually(async () => expect((await report.summary('catalog'))?.comparisons).toBe(20), within);
      await report.close();
    } finally {
      await line.close();
    }
  });
});
