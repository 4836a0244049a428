import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { defaultCompare } from '@strangler/platform/contracts/slice-compare.ts';
import { defaultCanaryBounds } from '@strangler/platform/contracts/slice-file.ts';
import { buildRouteTable } from '../routes/route-table.ts';
import { type InProcessProxy, startTransparentProxy } from '../testing/start-transparent-proxy.ts';
import { createDecide } from './decide.ts';
import { createOwnWrites } from './own-writes.ts';

let status: number;
const startSide = async (name: string) => {
  const server = createServer((req, res) => {
    req.resume();
    res.statusCode = req.method === 'POST' ? status : 200;
    res.setHeader('set-cookie', `of=${name}`);
    req.on('end', () => res.end(name));
  }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
};

describe('a user who has just written through the proxy', () => {
  let sides: { server: Server; url: string }[];
  let proxies: InProcessProxy[];
  let flag: FlagDocument;

  const startProxy = async (): Promise<InProcessProxy> => {
    const ownWrites = createOwnWrites({
      windowMs: 60_000,
      maxUsers: 100,
      secureCookie: false,
      nowMs: Date.now,
      onForgotten() {},
    });
    const decide = createDecide({
      routes: buildRouteTable([
        {
          slice: 'catalog',
          service: 'catalog',
          routes: [
            { method: 'GET', path: '/api/products', access: 'read' },
            { method: 'POST', path: '/api/products', access: 'write' },
          ],
          stickyBy: ['header.x-user'],
          tables: [],
          after: [],
          openapi: null,
          shadow: null,
          compare: defaultCompare,
          gates: { canary: defaultCanaryBounds, shadow: null },
        },
      ]),
      flagOf: () => flag,
      newStickyId: () => crypto.randomUUID(),
      secureCookie: false,
      ownWrites,
    });
    return startTransparentProxy({ monolith: [sides[0]!.url], service: [sides[1]!.url], decide, ownWrites });
  };

  beforeEach(async () => {
    status = 201;
    flag = {
      slice: 'catalog',
      stage: 'canary',
      reads: { percent: 100, cohorts: [] },
      writes: { owner: 'monolith' },
      epoch: 1,
      change: { id: 'c1', by: 'ada', at: '2026-01-01T00:00:00.000Z', reason: '' },
    };
    sides = await Promise.all([startSide('monolith'), startSide('service')]);
    proxies = await Promise.all([startProxy(), startProxy()]);
  });
  afterEach(async () => {
    await Promise.all(proxies.map((proxy) => proxy.close()));
    for (const { server } of sides) {
      server.closeAllConnections();
      server.close();
    }
  });

  const send = (proxy: InProcessProxy, method: string, headers: Record<string, string> = {}) =>
    fetch(`http://127.0.0.1:${proxy.port}/api/products`, {
      method,
      headers,
      ...(method === 'POST' ? { body: '{}' } : {}),
    });
  const read = async (proxy: InProcessProxy, headers: Record<string, string> = {}) =>
    (await send(proxy, 'GET', headers)).text();
  const wrote = (answer: Response) => answer.headers.getSetCookie().find((one) => one.startsWith('strangler_wrote='));

  test('reads there through every proxy, and the others read at the service', async () => {
    const answer = await send(proxies[0]!, 'POST');
    expect(answer.headers.getSetCookie()).toEqual([
      'of=monolith',
      expect.stringContaining('strangler_wrote=catalog:monolith:'),
    ]);
    const cookie = wrote(answer)!.split(';')[0]!;
    for (const proxy of proxies) {
      expect(await read(proxy, { cookie })).toBe('monolith');
      expect(proxy.finished.at(-1)?.decision).toMatchObject({ reason: 'own-write' });
      expect(await read(proxy)).toBe('service');
    }
  });

  test('and keeps no cookies is known by the sticky key where the write went through', async () => {
    await send(proxies[0]!, 'POST', { 'x-user': '7' });
    expect(await read(proxies[0]!, { 'x-user': '7' })).toBe('monolith');
    expect(await read(proxies[0]!, { 'x-user': '8' })).toBe('service');
  });

  test('in vain gets no cookie and reads where everybody does', async () => {
    for (status of [400, 409, 503]) {
      expect(wrote(await send(proxies[0]!, 'POST', { 'x-user': '7' }))).toBeUndefined();
      expect(await read(proxies[0]!, { 'x-user': '7' })).toBe('service');
    }
  });

  test('reads at the service once that owns the writes, whatever the cookie says', async () => {
    const cookie = wrote(await send(proxies[0]!, 'POST', { 'x-user': '7' }))!.split(';')[0]!;
    flag = { ...flag, stage: 'writes', writes: { owner: 'service' }, epoch: 2 };
    for (const proxy of proxies) expect(await read(proxy, { cookie, 'x-user': '7' })).toBe('service');
    expect(wrote(await send(proxies[0]!, 'POST'))).toBeUndefined();
  });
});
