import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { testServers } from '../testing/servers.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { createConsul } from './client.ts';
import { OutcomeUnknown } from './errors.ts';

const log = pino({ level: 'silent' });
const { consulUrl } = testServers();
const consul = createConsul({ url: consulUrl, log });
const prefix = `test/kv/${randomUUID()}/`;

afterAll(async () => {
  for (const key of (await consul.kv.list(prefix)).keys()) await consul.kv.delete(key);
  consul.close();
});

describe('a key', () => {
  test('that does not exist is undefined', async () => {
    await expect(consul.kv.get(`${prefix}none`)).resolves.toBeUndefined();
  });

  test('gives back what was put, whatever characters it and its name have', async () => {
    const key = `${prefix}naïve key/ü?&%2F`;
    for (const value of ['', '{"a":"ä€😀"}', 'a\u0000b\n']) {
      await expect(consul.kv.put(key, value)).resolves.toBe(true);
      await expect(consul.kv.get(key, { consistent: true })).resolves.toMatchObject({ value });
    }
    expect([...(await consul.kv.list(`${prefix}naïve`)).keys()]).toEqual([key]);
  });

  test('is made by only one of those who all find it missing', async () => {
    const key = `${prefix}create`;
    const outcomes = await Promise.all(Array.from({ length: 8 }, (_, i) => consul.kv.put(key, `${i}`, { cas: 0 })));
    expect(outcomes.filter(Boolean)).toHaveLength(1);
    expect((await consul.kv.get(key))?.value).toBe(`${outcomes.indexOf(true)}`);
  });

  test('is changed by compare-and-swap only from the index that was read', async () => {
    const key = `${prefix}cas`;
    await consul.kv.put(key, '1');
    const seen = (await consul.kv.get(key))?.modifyIndex ?? 0;
    await expect(consul.kv.put(key, '2', { cas: seen })).resolves.toBe(true);
    await expect(consul.kv.put(key, '3', { cas: seen })).resolves.toBe(false);
    await expect(consul.kv.delete(key, { cas: seen })).resolves.toBe(false);
    const now = await consul.kv.get(key);
    expect(now?.value).toBe('2');
    await expect(consul.kv.delete(key, { cas: now?.modifyIndex ?? 0 })).resolves.toBe(true);
    await expect(consul.kv.get(key)).resolves.toBeUndefined();
  });

  test('that is gone already is deleted all the same', async () => {
    await expect(consul.kv.delete(`${prefix}gone`)).resolves.toBe(true);
  });
});

describe('a transaction', () => {
  test('sets several keys at once, or none', async () => {
    const [a, b, c] = [`${prefix}txn/a`, `${prefix}txn/b`, `${prefix}txn/c`];
    await expect(
      consul.kv.txn([
        { key: a, value: 'a1', cas: 0 },
        { key: b, value: 'b1' },
      ]),
    ).resolves.toBe('committed');

    await expect(
      consul.kv.txn([
        { key: c, value: 'c1' },
        { key: a, value: 'a2', cas: 0 },
      ]),
    ).resolves.toMatchObject({ failed: 1, reason: expect.stringMatching(/.+/) });
    expect([...(await consul.kv.list(`${prefix}txn/`))].map(([key, { value }]) => [key, value])).toEqual([
      [a, 'a1'],
      [b, 'b1'],
    ]);
  });

  test('is refused when a key that it only checks has changed, or has appeared', async () => {
    const [seen, other] = [`${prefix}check/seen`, `${prefix}check/other`];
    await consul.kv.put(seen, '1');
    const modifyIndex = (await consul.kv.get(seen))?.modifyIndex ?? 0;
    const write = { key: other, value: 'x', cas: 0 } as const;
    await expect(consul.kv.txn([{ verb: 'check', key: seen, modifyIndex: 0 }, write])).resolves.toMatchObject({
      failed: 0,
    });
    await consul.kv.put(seen, '2');
    await expect(consul.kv.txn([{ verb: 'check', key: seen, modifyIndex }, write])).resolves.toMatchObject({
      failed: 0,
    });
    await expect(consul.kv.get(other)).resolves.toBeUndefined();
    await expect(consul.kv.txn([{ verb: 'check', key: other, modifyIndex: 0 }, write])).resolves.toBe('committed');
  });

  test('deletes too, by compare-and-swap if told so', async () => {
    const [a, b] = [`${prefix}drop/a`, `${prefix}drop/b`];
    await consul.kv.txn([
      { key: a, value: '1' },
      { key: b, value: '1' },
    ]);
    const modifyIndex = (await consul.kv.get(a))?.modifyIndex ?? 0;
    await consul.kv.put(a, '2');
    await expect(
      consul.kv.txn([
        { verb: 'delete', key: b },
        { verb: 'delete', key: a, cas: modifyIndex },
      ]),
    ).resolves.toMatchObject({ failed: 1 });
    await expect(
      consul.kv.txn([
        { verb: 'delete', key: b },
        { verb: 'delete', key: a },
      ]),
    ).resolves.toBe('committed');
    expect((await consul.kv.list(`${prefix}drop/`)).size).toBe(0);
  });

  test('of more than Consul takes is refused before it is sent', async () => {
    const operations = Array.from({ length: 65 }, (_, i) => ({ key: `${prefix}many/${i}`, value: '' }));
    await expect(consul.kv.txn(operations)).rejects.toThrow('expected at most 64 operations, found 65');
    await expect(consul.kv.txn(operations.slice(1))).resolves.toBe('committed');
  });
});

test('a write whose answer was lost on the way back happened, and is said to be unknown', async () => {
  const key = `${prefix}lost-answer`;
  const proxy = await startTcpProxy(consulUrl);
  const partitioned = createConsul({ url: proxy.url, log });
  try {
    await partitioned.kv.get(key);
    proxy.holdAnswers();
    const writing = partitioned.kv.put(key, '1', { timeoutMs: 1000 });
    await expect(writing).rejects.toBeInstanceOf(OutcomeUnknown);
    await expect(consul.kv.get(key, { consistent: true })).resolves.toMatchObject({ value: '1' });
  } finally {
    partitioned.close();
    await proxy.close();
  }
});
