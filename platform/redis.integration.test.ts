import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createRedis, type RedisOptions } from './redis.ts';
import { createRedisSubscriber, type RedisSubscriberOptions } from './redis-subscriber.ts';
import { eventually } from './testing/eventually.ts';
import { testServers } from './testing/servers.ts';
import { freePort } from './testing/sockets.ts';
import { startTcpProxy } from './testing/tcp-proxy.ts';

const { redisUrl } = testServers();
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Keeps what is logged at warn or info, as `level message`. */
function listeningLog() {
  const lines: string[] = [];
  const log = pino(
    { level: 'info' },
    {
      write: (line: string) => {
        const { level, msg } = JSON.parse(line);
        lines.push(`${level >= 40 ? 'warn' : 'info'} ${msg}`);
      },
    },
  );
  return { log, lines };
}

async function behindProxy() {
  const proxy = await startTcpProxy(redisUrl);
  closers.push(() => proxy.close());
  return proxy;
}

/** With a time-out that only a server that says nothing meets, however busy this machine is. */
function connect(options: Partial<RedisOptions> = {}) {
  const { log, lines } = listeningLog();
  const redis = createRedis({
    url: redisUrl,
    log,
    prefix: `test:${randomUUID()}:`,
    commandTimeoutMs: 1000,
    ...options,
  });
  closers.push(() => redis.close());
  return { redis, lines };
}

describe('connected', () => {
  test('waits for the first connection', async () => {
    const { redis } = connect();
    expect(redis.ready()).toBe(false);
    expect(await redis.connected(15_000)).toBe(true);
    expect(await redis.connected(15_000)).toBe(true);
  });

  test('does not wait for another try', async () => {
    const { redis } = connect({ url: `redis://127.0.0.1:${await freePort()}` });
    const beganMs = performance.now();
    expect(await redis.connected(60_000)).toBe(false);
    expect(performance.now() - beganMs).toBeLessThan(10_000);
  });

  test('waits no longer than it is told, nor when it is called off', async () => {
    const proxy = await behindProxy();
    await proxy.stall();
    const { redis } = connect({ url: proxy.url });
    expect(await redis.connected(50)).toBe(false);
    expect(await redis.connected(60_000, AbortSignal.timeout(50))).toBe(false);
    const closed = redis.connected(60_000);
    await redis.close();
    expect(await closed).toBe(false);
  });
});

describe('run', () => {
  test('gives what Redis answers, under the prefix', async () => {
    const prefix = `test:${randomUUID()}:`;
    const { redis } = connect({ prefix });
    const { redis: bare } = connect({ prefix: '' });
    await eventually(() => redis.ready() && bare.ready());
    await expect(redis.run((client) => client.set('a', '1', { expiration: { type: 'EX', value: 60 } }))).resolves.toBe(
      'OK',
    );
    await expect(redis.run((client) => client.get('a'))).resolves.toBe('1');
    await expect(redis.run((client) => client.get('none'))).resolves.toBeNull();
    await expect(bare.run((client) => client.get(`${prefix}a`))).resolves.toBe('1');
    await redis.run((client) => client.del('a'));
    expect(redis.misses()).toEqual({ away: 0, late: 0, refused: 0 });
  });

  test('throws what Redis says of a wrong command: that is our mistake, not its absence', async () => {
    const { redis } = connect();
    await eventually(() => redis.ready());
    await redis.run((client) => client.set('text', 'x', { expiration: { type: 'EX', value: 60 } }));
    await expect(redis.run((client) => client.lPush('text', 'y'))).rejects.toThrow(/WRONGTYPE/);
  });

  test('throws what the command itself throws', async () => {
    const { redis } = connect();
    await eventually(() => redis.ready());
    await expect(redis.run(async () => JSON.parse('{'))).rejects.toThrow(SyntaxError);
  });
});

describe('Redis that is away', () => {
  test('does not keep a process from starting, gives undefined at once, and is found when it comes', async () => {
    const proxy = await behindProxy();
    await proxy.refuse();
    const { redis, lines } = connect({ url: proxy.url });
    let sent = 0;
    const answer = redis.run(async (client) => {
      sent += 1;
      return client.get('a');
    });
    await expect(answer).resolves.toBeUndefined();
    expect(sent).toBe(0);
    expect(redis.misses().away).toBe(1);
    await eventually(() => lines.length === 1);
    await proxy.pass();
    await eventually(() => redis.ready());
    await expect(redis.run((client) => client.get('a'))).resolves.toBeNull();
    expect(lines).toEqual(['warn Redis is away; going on without it', 'info Redis is ready']);
  });

  test('in the middle of a command gives undefined, and each change is logged once', async () => {
    const proxy = await behindProxy();
    const { redis, lines } = connect({ url: proxy.url, commandTimeoutMs: 60_000 });
    await eventually(() => redis.ready());
    await proxy.stall();
    const running = redis.run((client) => client.get('a'));
    await proxy.refuse();
    await expect(running).resolves.toBeUndefined();
    await eventually(() => !redis.ready());
    await expect(redis.run((client) => client.get('a'))).resolves.toBeUndefined();
    await proxy.pass();
    await eventually(() => redis.ready());
    expect(lines).toEqual(['info Redis is ready', 'warn Redis is away; going on without it', 'info Redis is ready']);
  });

  test('is not sent later what it missed', async () => {
    const proxy = await behindProxy();
    const { redis } = connect({ url: proxy.url });
    const { redis: witness } = connect();
    const key = randomUUID();
    await eventually(() => redis.ready() && witness.ready());
    await proxy.refuse();
    await eventually(() => !redis.ready());
    await redis.run((client) => client.incr(key));
    await proxy.pass();
    await eventually(() => redis.ready());
    await expect(redis.run((client) => client.get(key))).resolves.toBeNull();
  });

  test('is counted for Prometheus', async () => {
    const registry = new Registry();
    const proxy = await behindProxy();
    await proxy.refuse();
    const { redis } = connect({ url: proxy.url, registry });
    await redis.run((client) => client.get('a'));
    const text = await registry.metrics();
    expect(text).toMatch(/^redis_ready 0$/m);
    expect(text).toMatch(/^redis_misses_total\{reason="away"\} 1$/m);
  });
});

describe('Redis that holds the connection and says nothing', () => {
  test('gives undefined when the time is over', async () => {
    const proxy = await behindProxy();
    const { redis } = connect({ url: proxy.url, commandTimeoutMs: 50 });
    await eventually(() => redis.ready());
    await proxy.stall();
    await expect(redis.run((client) => client.get('a'))).resolves.toBeUndefined();
    expect(redis.misses().late).toBe(1);
  });

  test('is left when it goes on so, and nobody waits for it any more, until it answers again', async () => {
    const proxy = await behindProxy();
    const { redis, lines } = connect({ url: proxy.url, commandTimeoutMs: 20, stallAfterMs: 50 });
    await eventually(() => redis.ready());
    const before = redis.client;
    await proxy.stall();
    await eventually(async () => {
      await redis.run((client) => client.get('a'));
      return !redis.ready();
    });
    const { late } = redis.misses();
    await redis.run((client) => client.get('a'));
    expect(redis.misses().late).toBe(late);
    expect(redis.client).not.toBe(before);
    await proxy.pass();
    await eventually(() => redis.ready());
    await eventually(async () => (await redis.run((client) => client.get('a'))) === null || undefined);
    expect(lines.slice(0, 3)).toEqual([
      'info Redis is ready',
      'warn Redis is away; going on without it',
      'info Redis is ready',
    ]);
  });

  test('does not hold up closing', async () => {
    const proxy = await behindProxy();
    const { redis } = connect({ url: proxy.url });
    await eventually(() => redis.ready());
    await proxy.stall();
    const running = redis.run((client) => client.get('a'));
    await redis.close();
    await redis.close();
    await expect(running).resolves.toBeUndefined();
    await expect(redis.run((client) => client.get('a'))).resolves.toBeUndefined();
    await eventually(() => proxy.connections() === 0 || undefined);
  });
});

describe('a subscriber', () => {
  function subscriber(options: Partial<RedisSubscriberOptions> = {}) {
    let gaps = 0;
    const { log } = listeningLog();
    const made = createRedisSubscriber({
      url: redisUrl,
      log,
      missed: () => {
        gaps += 1;
      },
      ...options,
    });
    closers.push(() => made.close());
    return { subscriber: made, gaps: () => gaps };
  }

  async function publisher() {
    const { redis } = connect();
    await eventually(() => redis.ready());
    return (channel: string, message: string) => redis.run((client) => client.publish(channel, message));
  }

  test('hears what is published on its channels, until it unsubscribes', async () => {
    const { subscriber: sub } = subscriber();
    const publish = await publisher();
    const [a, b] = [randomUUID(), randomUUID()];
    const heard: string[] = [];
    const off = sub.subscribe(a, (message) => void heard.push(`a ${message}`));
    await eventually(() => sub.ready());
    sub.subscribe(b, (message) => void heard.push(`b ${message}`));
    await eventually(async () => (await publish(a, '1')) === 1 && (await publish(b, '2')) === 1);
    await eventually(() => heard.includes('a 1') && heard.includes('b 2'));
    off();
    await eventually(async () => (await publish(a, '3')) === 0);
    expect(heard).not.toContain('a 3');
  });

  test('one failing listener does not keep the others from hearing', async () => {
    const { subscriber: sub } = subscriber();
    const publish = await publisher();
    const channel = randomUUID();
    const heard: string[] = [];
    sub.subscribe(channel, () => {
      throw new Error('bug');
    });
    sub.subscribe(channel, (message) => void heard.push(message));
    await eventually(async () => (await publish(channel, '1')) === 1);
    await eventually(() => heard.length === 1);
  });

  test('subscribes again after a lost connection, and says each time that it may have missed something', async () => {
    const proxy = await behindProxy();
    const { subscriber: sub, gaps } = subscriber({ url: proxy.url });
    const publish = await publisher();
    const channel = randomUUID();
    const heard: string[] = [];
    sub.subscribe(channel, (message) => void heard.push(message));
    await eventually(() => gaps() === 1);
    await proxy.refuse();
    await eventually(() => !sub.ready());
    await proxy.pass();
    await eventually(() => gaps() === 2 && sub.ready());
    await eventually(async () => (await publish(channel, 'again')) === 1);
    await eventually(() => heard.length === 1);
  });

  test('notices a connection that died without a word, and hears again on another', async () => {
    const proxy = await behindProxy();
    const { subscriber: sub, gaps } = subscriber({ url: proxy.url, probeEveryMs: 200 });
    const publish = await publisher();
    const channel = randomUUID();
    const heard: string[] = [];
    sub.subscribe(channel, (message) => void heard.push(message));
    await eventually(() => gaps() === 1);
    await proxy.stall();
    await eventually(() => !sub.ready());
    await proxy.pass();
    await eventually(() => gaps() >= 2 && sub.ready());
    await eventually(async () => {
      await publish(channel, 'again');
      return heard.length > 0;
    });
  });
});
