import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { problemResponder } from '@strangler/platform/http/problem.ts';
import { createLog } from '@strangler/platform/log.ts';
import { noServiceTrust } from '@strangler/platform/service-trust/config.ts';
import { openKeyFolder } from '@strangler/platform/service-trust/key-folder.ts';
import { openServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import express from 'express';
import { Registry } from 'prom-client';
import { type ShadowProgram, type ShadowSlice, startShadowProgram } from '../testing/start-shadow-program.ts';

const log = createLog({ name: 'test', level: 'silent' });
const closers: (() => unknown)[] = [];
let folder: string;
let proxy: ShadowProgram;
let catalog: ShadowSlice;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'identity-'));
  const keys = openKeyFolder(folder);
  await keys.init('proxy', ['catalog']);
  await keys.init('stranger', []);
  proxy = await startShadowProgram(
    { catalog: { shadow: '{ sample: 0 }' } },
    { SERVICE_KEY_FILE: keys.keyFile('proxy') },
  );
  catalog = proxy.slice('catalog');
  closers.push(() => proxy.end());
  // The service asks for the proxy's token, and only then believes what the request says of its client.
  const trust = await openServiceTrust({
    ...{ self: 'catalog', metrics: new Registry(), log },
    config: { ...noServiceTrust, mode: 'enforce', trustFile: keys.trustFile, apiCallers: ['proxy'] },
    lifecycle: { onStop: (_phase, _name, step) => void closers.push(() => step({ graceMs: 0 } as never)) },
  });
  const app = express();
  app.use('/api', trust.http.api);
  app.use((req, res) => void res.json({ client: req.headers['x-forwarded-for'] }));
  app.use(problemResponder(log));
  catalog.service.answerWith(app);
  await catalog.flag({ stage: 'canary', reads: { percent: 100, cohorts: [] } });
}, 120_000);

afterAll(async () => {
  for (const close of closers.reverse()) await close();
  await rm(folder, { recursive: true });
});

const forged = {
  'x-forwarded-for': '6.6.6.6',
  'x-real-ip': '6.6.6.6',
  'x-service-token': 'eyJhbGciOiJub25lIn0.eyJpc3MiOiJwcm94eSJ9.',
};

test('who claims to be somebody past the proxy is refused by the service, and through it is known for whom he is', async () => {
  const past = await fetch(`${catalog.service.url}${catalog.path}`, { headers: forged });
  expect(past.status).toBe(401);
  const through = await fetch(catalog.url, { headers: forged });
  expect([through.status, await through.json()]).toEqual([200, { client: '127.0.0.1' }]);
});

test('a token that the proxy got for one service is no good at another, and the monolith is shown none', async () => {
  const token = `${catalog.service.seen.at(-1)?.headers['x-service-token']}`;
  expect(JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString())).toMatchObject({
    iss: 'proxy',
    aud: 'catalog',
  });
  await fetch(`${proxy.url}/elsewhere`, { headers: forged });
  expect(catalog.monolith.seen.at(-1)?.url).toBe('/elsewhere');
  expect(catalog.monolith.seen.at(-1)?.headers['x-service-token']).toBeUndefined();
});

test('a read that the service does not answer reaches the monolith without the service’s token', async () => {
  catalog.service.answerWith((req) => req.socket.destroy());
  const answer = await fetch(`${catalog.url}/1`);
  expect(answer.status).toBe(200);
  expect(catalog.monolith.seen.at(-1)).toMatchObject({ url: `${catalog.path}/1` });
  expect(catalog.monolith.seen.at(-1)?.headers['x-service-token']).toBeUndefined();
});
