import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { eventually } from '../testing/eventually.ts';
import { testServers } from '../testing/servers.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { createConsul } from './client.ts';
import { createSession, type SessionOptions } from './session.ts';

const log = pino({ level: 'silent' });
const { consulUrl } = testServers();
const consul = createConsul({ url: consulUrl, log });
const prefix = `test/session/${randomUUID()}/`;
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

afterAll(async () => {
  for (const key of (await consul.kv.list(prefix)).keys()) await consul.kv.delete(key);
  consul.close();
});

async function start(through = consul, more: Partial<SessionOptions> = {}) {
  const reasons: Error[] = [];
  const lost = (reason: Error) => void reasons.push(reason);
  const session = await createSession(through, { name: 'test', ttlMs: 10_000, behavior: 'delete', lost, ...more });
  closers.push(() => session.destroy());
  return { session, reasons };
}

const destroyElsewhere = (id: string) =>
  consul.connection.call('session.destroy', 'write', (client, wire) => client.session.destroy({ id, ...wire }));

test('a key taken by a session is its own, is seen as such, and goes with it', async () => {
  const key = `${prefix}ack`;
  const { session } = await start();
  const { session: rival } = await start();
  await expect(consul.kv.put(key, 'epoch 7', { acquire: session.id })).resolves.toBe(true);
  await expect(consul.kv.put(key, 'mine', { acquire: rival.id })).resolves.toBe(false);
  await expect(consul.kv.get(key)).resolves.toMatchObject({ value: 'epoch 7', session: session.id });
  expect(session.leftMs()).toBeGreaterThan(0);
  await session.destroy();
  expect([session.alive(), session.leftMs()]).toEqual([false, 0]);
  await expect(consul.kv.get(key, { consistent: true })).resolves.toBeUndefined();
});

test('a session that releases leaves its keys to the next', async () => {
  const key = `${prefix}lock`;
  const { session } = await start(consul, { behavior: 'release' });
  const { session: next } = await start(consul, { behavior: 'release' });
  await consul.kv.put(key, 'first', { acquire: session.id });
  await session.destroy();
  await expect(consul.kv.put(key, 'second', { acquire: next.id })).resolves.toBe(true);
});

test('a session that Consul has ended is reported lost, once, at its next renewal', async () => {
  const { session, reasons } = await start();
  await destroyElsewhere(session.id);
  await eventually(() => reasons.length === 1);
  expect(reasons[0]?.message).toMatch(/has ended session .* \(test\)/);
  expect(session.alive()).toBe(false);
  await session.destroy();
  await session.destroy();
  expect(reasons).toHaveLength(1);
});

test('a session that cannot be renewed is lost when its time is over, not before it is tried again', async () => {
  const proxy = await startTcpProxy(consulUrl);
  closers.push(() => proxy.close());
  const through = createConsul({ url: proxy.url, log });
  closers.push(() => through.close());
  const { session, reasons } = await start(through);
  await proxy.refuse();
  expect(session.alive()).toBe(true);
  await eventually(() => reasons.length === 1, { withinMs: 60_000 });
  expect(reasons[0]?.message).toMatch(/could not be renewed for 10000 ms/);
  expect(session.alive()).toBe(false);
  await destroyElsewhere(session.id);
});

test('a time to live that Consul does not take is refused with its bounds', async () => {
  await expect(start(consul, { ttlMs: 5000 })).rejects.toThrow(
    'expected a ttlMs between 10000 and 86400000, found 5000',
  );
});
