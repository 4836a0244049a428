import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type ConsulClient, createConsul } from '@strangler/platform/consul/client.ts';
import { initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { createLog } from '@strangler/platform/log.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { testServers } from '@strangler/platform/testing/servers.ts';
import { type ProxyProgram, startProxyProgram } from '../testing/proxy-program.ts';

const log = createLog({ name: 'test', level: 'silent' });
const service = `catalog-${randomBytes(4).toString('hex')}`;
const asked: string[] = [];
let consul: ConsulClient;
let proxy: ProxyProgram;
let folder: string;
let victim: Server;
let honest: Server;

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
};
const portOf = (server: Server): number => (server.address() as AddressInfo).port;

const announce = (id: string, address: string, port: number) =>
  consul.connection.call(`register ${id}`, 'write', (client, wire) =>
    client.agent.service.register({ name: service, id, address, port, ...wire }),
  );
const forget = (id: string) =>
  consul.connection.call(`deregister ${id}`, 'write', (client, wire) =>
    client.agent.service.deregister({ id, ...wire }),
  );

const instancesOf = async (): Promise<string[]> => {
  const { workers } = await proxy.status();
  const upstream = workers[0]!.upstreams.find(({ name }) => name === service);
  return (upstream?.instances ?? []).map(({ id }) => id).sort();
};

beforeAll(async () => {
  consul = createConsul({ url: testServers().consulUrl, log });
  // Stands for whatever listens on this machine and is nobody's business.
  victim = createServer((req, res) => {
    asked.push(`victim ${req.url}`);
    res.end('secret');
  });
  honest = createServer((req, res) => {
    asked.push(`honest ${req.url}`);
    if (req.url === '/api/products/away') {
      res.writeHead(302, { location: `http://127.0.0.1:${portOf(victim)}/secret` }).end();
    } else res.end('honest');
  });
  await Promise.all([listen(victim), listen(honest)]);
  folder = await mkdtemp(join(tmpdir(), 'hostile-'));
  await mkdir(join(folder, 'catalog'));
  await writeFile(
    join(folder, 'catalog/slice.yaml'),
    `slice: catalog\nservice: ${service}\nroutes: [ GET /api/products, GET /api/products/:id ]\n`,
  );
  const change = { id: 'c', by: 'test', at: new Date().toISOString(), reason: '' };
  const flag = { ...initialFlagDocument('catalog', change), stage: 'canary', reads: { percent: 100, cohorts: [] } };
  await writeFile(join(folder, 'flags.json'), JSON.stringify({ catalog: flag }));
  await announce('honest', '127.0.0.1', portOf(honest));
  proxy = await startProxyProgram({
    MONOLITH_URL: `http://127.0.0.1:${portOf(honest)}`,
    CONSUL_URL: testServers().consulUrl,
    STRANGLER_SLICES: folder,
    STRANGLER_FLAGS: `file://${join(folder, 'flags.json')}`,
    // The victim's address is allowed by no network but this machine's, and the honest one's is.
    ALLOWED_NETWORKS: '127.0.0.1/32',
  });
  await eventually(async () => expect(await instancesOf()).toEqual(['honest']));
}, 120_000);

afterAll(async () => {
  await forget('honest');
  await proxy?.stop('SIGKILL');
  consul.close();
  for (const server of [victim, honest]) {
    server.close();
    server.closeAllConnections();
  }
  await rm(folder, { recursive: true });
});

/** Where whoever can write to Consul would like the proxy to go. `port`: of the victim unless told. */
const hostile: [id: string, address: string, port?: number][] = [
  ['metadata', '169.254.169.254', 80],
  ['metadata-mapped', '::ffff:169.254.169.254', 80],
  ['metadata-mapped-hex', '::ffff:a9fe:a9fe', 80],
  ['anywhere', '0.0.0.0'],
  ['anywhere-6', '::'],
  ['another-of-this-machine', '127.0.0.2'],
  ['loopback-6', '::1'],
  ['link-local', 'fe80::1%lo'],
  ['nat64', '64:ff9b::7f00:1'],
  ['outside', '8.8.8.8', 80],
  ['a-name', 'localhost'],
  ['a-name-that-changes', 'rebind.example'],
  ['short-form', '127.1'],
  ['decimal', '2130706433'],
  ['hexadecimal', '0x7f000001'],
  ['octal', '0177.0.0.1'],
  ['user', 'a@127.0.0.1'],
  ['path', '127.0.0.1/secret?'],
  ['crlf', '127.0.0.1\r\nX-A: b'],
];

test('no hostile registration leads anywhere, however it is written, and the honest instance goes on being used', async () => {
  const registered: string[] = [];
  for (const [id, address, port = portOf(victim)] of hostile) {
    // Consul itself refuses some of them, which is as good.
    await announce(id, address, port).then(
      () => registered.push(id),
      () => {},
    );
  }
  expect(registered.length).toBeGreaterThan(10);
  const refused = async (): Promise<number> =>
    (await proxy.metrics())
      .split('\n')
      .filter((line) => line.startsWith('strangler_discovery_refused_instances{') && line.includes(service))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  await eventually(async () => expect(await refused()).toBeGreaterThanOrEqual(registered.length));
  expect(await instancesOf()).toEqual(['honest']);
  for (let turn = 0; turn < 20; turn++) {
    expect(await (await fetch(`${proxy.url}/api/products/${turn}`)).text()).toBe('honest');
  }
  for (const id of registered) await forget(id);
  expect(asked.filter((one) => one.startsWith('victim'))).toEqual([]);
}, 60_000);

test('an instance that was allowed and comes back with another address is left at once', async () => {
  await announce('turncoat', '127.0.0.1', portOf(honest));
  await eventually(async () => expect(await instancesOf()).toEqual(['honest', 'turncoat']));
  await announce('turncoat', '169.254.169.254', 80);
  await eventually(async () => expect(await instancesOf()).toEqual(['honest']));
  await forget('turncoat');
}, 60_000);

test('a redirect is the client’s to follow, not the proxy’s', async () => {
  const answer = await fetch(`${proxy.url}/api/products/away`, { redirect: 'manual' });
  expect([answer.status, answer.headers.get('location')]).toEqual([302, `http://127.0.0.1:${portOf(victim)}/secret`]);
  expect(asked.filter((one) => one.startsWith('victim'))).toEqual([]);
});
