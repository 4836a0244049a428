import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type ClientHttp2Stream, connect } from 'node:http2';
import { Agent, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { makeAuthority, type TestAuthority } from '@strangler/platform/service-trust/testing/certificates.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import WebSocket, { WebSocketServer } from 'ws';
import { type ProxyProgram, startProxyProgram } from '../testing/proxy-program.ts';

let folder: string;
let authority: TestAuthority;
let files: { certFile: string; keyFile: string };
let upstream: Server;
let proxy: ProxyProgram;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tls-'));
  authority = await makeAuthority(folder);
  files = await authority.issue('proxy', 'IP:127.0.0.1');
  upstream = createServer((req, res) => {
    let bytes = 0;
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    req.on('end', () => res.end(`${req.headers['x-forwarded-proto']} ${bytes}`));
  }).listen(0, '127.0.0.1');
  const sockets = new WebSocketServer({ server: upstream });
  sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(`echo ${text}`)));
  await once(upstream, 'listening');
  proxy = await startProxyProgram({
    MONOLITH_URL: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
    TLS_CERT_FILE: files.certFile,
    TLS_KEY_FILE: files.keyFile,
  });
});
afterAll(async () => {
  await proxy?.stop('SIGKILL');
  upstream.closeAllConnections();
  upstream.close();
  await rm(folder, { recursive: true });
});

const newAgent = () => new Agent({ keepAlive: true, maxSockets: 1, ca: readFileSync(authority.caFile) });
/** The answer, and the certificate of the connection that it came by. */
const ask = async (agent: Agent, body = ''): Promise<{ text: string; serial: string; socket: TLSSocket }> => {
  const asking = request(`${proxy.url}/a`, { agent, method: body === '' ? 'GET' : 'POST' });
  asking.end(body);
  const [answer] = await once(asking, 'response');
  const socket = answer.socket as TLSSocket;
  let text = '';
  for await (const chunk of answer) text += chunk;
  return { text, serial: socket.getPeerCertificate().serialNumber, socket };
};

const textOf = async (stream: ClientHttp2Stream): Promise<string> => {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
};

describe('a proxy that speaks TLS', () => {
  test('serves requests, bodies and WebSockets, tells the upstream, and speaks nothing else on that port', async () => {
    expect(proxy.url).toMatch(/^https:/);
    const agent = newAgent();
    expect((await ask(agent)).text).toBe('https 0');
    expect((await ask(agent, 'x'.repeat(300_000))).text).toBe('https 300000');
    agent.destroy();
    const socket = new WebSocket(proxy.url.replace('https', 'wss'), { ca: readFileSync(authority.caFile) });
    await once(socket, 'open');
    socket.send('hello');
    expect(String((await once(socket, 'message'))[0])).toBe('echo hello');
    socket.terminate();
    const bytes = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
    expect((await rawHttp({ port: Number(new URL(proxy.url).port), bytes })).head).toBeUndefined();
  });

  test('gives new connections a renewed certificate, and open ones go on with theirs', async () => {
    const [before, after] = [newAgent(), newAgent()];
    const first = await ask(before);
    const session = connect(proxy.url, { ca: readFileSync(authority.caFile) });
    const post = () => session.request({ ':path': '/a', ':method': 'POST' });
    const halfSent = post();
    halfSent.write('x');
    await once(session, 'connect');
    await authority.issue('proxy', 'IP:127.0.0.1');
    proxy.child.kill('SIGHUP');
    await eventually(async () => {
      const fresh = newAgent();
      const { serial } = await ask(fresh);
      fresh.destroy();
      return serial !== first.serial;
    });
    const again = await ask(before);
    expect([again.serial, again.socket === first.socket]).toEqual([first.serial, true]);
    expect((await ask(after)).serial).not.toBe(first.serial);
    expect(await textOf(halfSent.end('y'))).toBe('https 2');
    expect(await textOf(post().end('z'))).toBe('https 1');
    session.close();
    before.destroy();
    after.destroy();
  });

  test('finishes a request that is under way when it is told to stop', async () => {
    const agent = newAgent();
    const asking = request(`${proxy.url}/a`, { agent, method: 'POST', headers: { 'content-length': 2 } });
    asking.write('x');
    await once(asking, 'socket');
    await eventually(async () => (await proxy.status()).workers[0]?.inFlight === 1);
    const stopped = proxy.stop('SIGTERM');
    await eventually(() => proxy.log.some(({ msg }) => /stop|drain/i.test(`${msg}`)));
    asking.end('y');
    const [answer] = await once(asking, 'response');
    expect(answer.statusCode).toBe(200);
    answer.resume();
    expect(await stopped).toBe(0);
    agent.destroy();
  });

  test('needs both files, and a key that is of the certificate', async () => {
    const start = (keyFile: string) =>
      startProxyProgram({ MONOLITH_URL: 'http://127.0.0.1:9', TLS_CERT_FILE: files.certFile, TLS_KEY_FILE: keyFile });
    await expect(start('')).rejects.toThrow('TLS_KEY_FILE: is required beside TLS_CERT_FILE');
    const other = await authority.issue('other', 'IP:127.0.0.1');
    await expect(start(other.keyFile)).rejects.toThrow('expected the key of the certificate in');
  });
});
