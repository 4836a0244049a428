import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { figuresKeys } from '@strangler/platform/contracts/slice-figures.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { testServers } from '@strangler/platform/testing/servers.ts';
import { type FlaggedProxies, openFlaggedProxies } from '../testing/flagged-proxies.ts';
import type { ProxyProgram } from '../testing/proxy-program.ts';

const tokens = { vera: 'v'.repeat(32), olga: 'o'.repeat(32), ada: 'a'.repeat(32) };
const slice = `slice: catalog
service: catalog
routes:
  - GET /api/products
`;

let folder: string;
let proxies: FlaggedProxies;
let proxy: ProxyProgram;
let open: ProxyProgram;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dashboard-'));
  const file = join(folder, 'tokens.json');
  const list = [
    { name: 'vera', role: 'viewer', token: tokens.vera },
    { name: 'olga', role: 'operator', token: tokens.olga },
    { name: 'ada', role: 'admin', token: tokens.ada },
  ];
  await writeFile(file, JSON.stringify(list), { mode: 0o600 });
  proxies = await openFlaggedProxies({
    label: 'dashboard',
    monolith: (_req, res) => res.end('{"from":"monolith"}'),
    service: (_req, res) => res.end('{"from":"service"}'),
    slices: { catalog: slice },
    environment: { WORKERS: '1', REDIS_URL: testServers().redisUrl },
  });
  [proxy, open] = await Promise.all([
    proxies.start({ ADMIN_TOKENS_FILE: file, SERVICE_ID: 'guarded' }),
    proxies.start({ SERVICE_ID: 'open' }),
  ]);
});

afterAll(async () => {
  await proxies?.end();
  await rm(folder, { recursive: true });
});

const api = (path: string, init: RequestInit = {}, program = proxy) =>
  fetch(`${program.adminUrl}/dashboard/api/${path}`, init);
const bearer = (name: keyof typeof tokens) => ({ authorization: `Bearer ${tokens[name]}` });
const json = (headers: Record<string, string>, body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
});
const changeOf = (body: object) => ({ readsPercent: 25, reason: 'a look', basedOn: 'none', ...body });

const signIn = async (token: string, headers: Record<string, string> = { 'x-strangler-dashboard': '1' }) =>
  api('session', json(headers, { token }));

/** Of an event, what these tests look at. */
type Told = { reads?: { percent: number }; figures?: unknown };

/**
 * Reads a stream of events until one fits; gives all that came. What happens before the first of them, of which `onFirst` tells,
 * is part of it and no event of its own.
 */
const eventsUntil = async (
  headers: Record<string, string>,
  fits: (kind: string, data: Told) => boolean,
  onFirst: () => void = () => {},
): Promise<{ id: string; kind: string; data: Told }[]> => {
  const ending = new AbortController();
  const answer = await api('events', {
    headers,
    signal: AbortSignal.any([ending.signal, AbortSignal.timeout(20_000)]),
  });
  expect(answer.headers.get('content-type')).toContain('text/event-stream');
  const seen: { id: string; kind: string; data: Told }[] = [];
  let text = '';
  for await (const piece of answer.body!.pipeThrough(new TextDecoderStream())) {
    text += piece;
    const parts = text.split('\n\n');
    text = parts.pop()!;
    for (const part of parts) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(part)?.[1] ?? '';
      if (field('event') === '') continue;
      const event = { id: field('id'), kind: field('event'), data: JSON.parse(field('data')) };
      seen.push(event);
      if (seen.length === 1) onFirst();
      if (fits(event.kind, event.data)) {
        ending.abort();
        return seen;
      }
    }
  }
  throw new Error(`the stream ended after ${seen.map(({ kind }) => kind).join(', ')}`);
};

describe('who may do what', () => {
  test('nobody without a token sees anything, and is told how to come in', async () => {
    for (const path of ['session', 'events', 'slices/catalog/examples/1']) {
      const answer = await api(path);
      expect(answer.status).toBe(401);
      expect(answer.headers.get('content-type')).toContain('application/problem+json');
      expect(await answer.text()).toContain('ADMIN_TOKENS_FILE');
    }
    expect((await api('session', { headers: { authorization: `Bearer ${'x'.repeat(32)}` } })).status).toBe(401);
  });

  test('a viewer looks and changes nothing, an operator changes percentages, only an admin orders', async () => {
    expect((await api('slices/catalog/plan', json(bearer('vera'), { readsPercent: 5 }))).status).toBe(200);
    const refused = await api('slices/catalog/flags', json(bearer('vera'), changeOf({})));
    expect(refused.status).toBe(403);
    expect(await refused.text()).toContain('vera is viewer');
    expect(await proxies.store.get('catalog')).toBeUndefined();
    const order = { what: 'advance', reason: 'time', basedOn: 'none' };
    expect((await api('slices/catalog/orders', json(bearer('olga'), order))).status).toBe(403);
  });

  test('what was there before answers as before, with no token at all', async () => {
    for (const path of ['/health/live', '/health/ready', '/metrics', '/admin/status']) {
      expect((await fetch(`${proxy.adminUrl}${path}`)).status).toBe(200);
    }
  });

  test('the port is open on this machine’s own address only', async () => {
    const { hostname, port } = new URL(proxy.adminUrl);
    expect(hostname).toBe('127.0.0.1');
    const refused = await new Promise((resolve) => {
      const socket = net.connect({ host: '127.0.0.2', port: Number(port) });
      socket.once('connect', () => resolve(socket.destroy() && 'connected'));
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    expect(refused).toBe('ECONNREFUSED');
  });

  test('a body that is too large, or becomes so when it is unpacked, is not taken', async () => {
    const large = JSON.stringify(changeOf({ reason: 'a'.repeat(5_000_000) }));
    const send = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>) =>
      api('slices/catalog/plan', {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...bearer('ada'), ...headers },
        body,
      });
    expect((await send(large, {})).status).toBe(413);
    const bomb = gzipSync(large);
    expect(bomb.length).toBeLessThan(10_000);
    expect((await send(new Uint8Array(bomb), { 'content-encoding': 'gzip' })).status).toBe(413);
  });

  test('without tokens whoever is on this machine may look, by its own name only, and change nothing', async () => {
    const session = await api('session', {}, open);
    expect(await session.json()).toMatchObject({ role: 'viewer', hint: expect.stringContaining('ADMIN_TOKENS_FILE') });
    const refused = await api('slices/catalog/flags', json({ 'x-strangler-dashboard': '1' }, changeOf({})), open);
    expect(refused.status).toBe(403);
    const { port } = new URL(open.adminUrl);
    const status = await new Promise((resolve, reject) => {
      const path = '/dashboard/api/session';
      request({ host: '127.0.0.1', port, path, headers: { host: `evil.example:${port}` } }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on('error', reject)
        .end();
    });
    expect(status).toBe(403);
  });
});

describe('a session', () => {
  test('is a short-lived cookie that no script reads and no other site sends', async () => {
    const answer = await signIn(tokens.olga);
    expect(answer.status).toBe(201);
    const [cookie = ''] = answer.headers.getSetCookie();
    expect(cookie).toMatch(
      /^strangler_admin_guarded=.+; Max-Age=3(?:600|5\d\d); Path=\/dashboard; .*HttpOnly; SameSite=Strict$/,
    );
    expect(cookie).not.toContain(tokens.olga);
    const session = await api('session', { headers: { cookie: cookie.split(';')[0]! } });
    expect(await session.json()).toMatchObject({ name: 'olga', role: 'operator', by: 'session' });
    expect((await signIn('w'.repeat(32))).status).toBe(401);
  });

  test('changes nothing for a page that is not ours', async () => {
    const answer = await signIn(tokens.olga);
    const cookie = answer.headers.getSetCookie()[0]!.split(';')[0]!;
    const own = { 'x-strangler-dashboard': '1' };
    const foreign: Record<string, string>[] = [
      { cookie },
      { cookie, ...own, origin: 'http://evil.example' },
      { cookie, ...own, origin: 'null' },
      { cookie, ...own, 'sec-fetch-site': 'same-site' },
      { cookie, ...own, 'sec-fetch-site': 'cross-site' },
    ];
    for (const headers of foreign) {
      const refused = await api('slices/catalog/flags', json(headers, changeOf({})));
      expect([refused.status, refused.headers.get('content-type')]).toEqual([
        403,
        'application/problem+json; charset=utf-8',
      ]);
    }
    expect((await signIn(tokens.olga, {})).status).toBe(403);
    expect(await proxies.store.get('catalog')).toBeUndefined();
  });
});

describe('the page', () => {
  test('is answered with a policy that runs nothing but its own files', async () => {
    const moved = await fetch(`${proxy.adminUrl}/dashboard`, { redirect: 'manual' });
    expect([moved.status, moved.headers.get('location')]).toEqual([308, '/dashboard/']);
    const page = await fetch(`${proxy.adminUrl}/dashboard/`);
    const html = await page.text();
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'self';.*frame-ancestors 'none'/);
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
    expect(html).not.toMatch(/ style=| on\w+=|<script>|<style|https?:\/\//);
    for (const [, file] of html.matchAll(/(?:src|href)="([\w.-]+\.\w+)"/g)) {
      expect((await fetch(`${proxy.adminUrl}/dashboard/${file}`)).status).toBe(200);
    }
    for (const path of ['..%2fguard.ts', '../guard.ts', 'guard.ts']) {
      expect((await fetch(`${proxy.adminUrl}/dashboard/${path}`)).status).toBe(404);
    }
  });
});

describe('a change', () => {
  test('is obeyed, stands in the history in the name of its author, and reaches those who look on', async () => {
    const { promise: follows, resolve: onFirst } = Promise.withResolvers<void>();
    const isTold = (kind: string, data: Told) => kind === 'slice' && data.reads?.percent === 25;
    const told = eventsUntil(bearer('vera'), isTold, onFirst);
    await Promise.race([follows, told]);
    const plan = (await (await api('slices/catalog/plan', json(bearer('olga'), { readsPercent: 25 }))).json()) as {
      basedOn: string;
      consequences: string[];
    };
    expect(plan.consequences[0]).toContain('25 % of users');
    const made = await api('slices/catalog/flags', json(bearer('olga'), changeOf({ basedOn: plan.basedOn })));
    expect(made.status).toBe(200);
    const seen = await told;
    expect(seen[0]?.kind).toBe('snapshot');
    expect(
      (await proxies.store.history('catalog', 5)).map(({ change, reads }) => [change.by, change.reason, reads.percent]),
    ).toEqual([['olga', 'a look', 25]]);
    await eventually(async () =>
      expect(await proxy.metrics()).toMatch(/strangler_flag_reads_percent\{slice="catalog".*\} 25/),
    );

    const late = await api(
      'slices/catalog/flags',
      json(bearer('ada'), changeOf({ readsPercent: 50, basedOn: plan.basedOn })),
    );
    expect(late.status).toBe(409);
    expect(await late.text()).toContain('olga changed the flags');
    const unsaid = await api(
      'slices/catalog/flags',
      json(bearer('ada'), { readsPercent: 50, reason: ' ', basedOn: 'x' }),
    );
    expect(unsaid.status).toBe(400);
    expect((await api('slices/nowhere/plan', json(bearer('ada'), { readsPercent: 5 }))).status).toBe(404);
  });

  test('that came while a page was away is told when it comes back, and all anew where too much has passed', async () => {
    const [first] = await eventsUntil(bearer('vera'), (kind) => kind === 'snapshot');
    const { change } = (await proxies.store.get('catalog'))!.document;
    await api('slices/catalog/flags', json(bearer('olga'), changeOf({ readsPercent: 30, basedOn: change.id })));
    const isThirty = (kind: string, data: Told) => kind === 'slice' && data.reads?.percent === 30;
    const missed = await eventsUntil({ ...bearer('vera'), 'last-event-id': first!.id }, isThirty);
    expect(missed.map(({ kind }) => kind)).not.toContain('snapshot');
    const [anew] = await eventsUntil({ ...bearer('vera'), 'last-event-id': 'another-life:7' }, () => true);
    expect(anew?.kind).toBe('snapshot');
  });

  test('of figures that the data mover publishes is shown as it was told', async () => {
    const figures = {
      ...{ slice: 'catalog', at: new Date().toISOString(), everyMs: 1_000, by: 'test', measured: null },
      ...{ failure: 'no database', takesOrders: false },
    };
    const { promise: follows, resolve: onFirst } = Promise.withResolvers<void>();
    const isTold = (kind: string, data: Told) => kind === 'slice' && data.figures != null;
    const told = eventsUntil(bearer('vera'), isTold, onFirst);
    await Promise.race([follows, told]);
    await proxies.consul.kv.put(figuresKeys(proxies.root).slice('catalog'), JSON.stringify(figures));
    expect((await told).at(-1)?.data.figures).toEqual(figures);
  });
});
