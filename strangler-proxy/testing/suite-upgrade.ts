import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import { WebSocket, WebSocketServer } from 'ws';
import { type AnswerRaw, type RawUpstream, startRawUpstream } from './raw-upstream.ts';
import type { StartedProxy, StartProxy } from './start-transparent-proxy.ts';

const handshake =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const upgradeTo = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: shop.test\r\n${handshake}${more}\r\n`;

export function describeUpgrade(start: StartProxy): void {
  describe('WebSocket', () => {
    let server: http.Server;
    let front: net.Server;
    let sockets: WebSocketServer;
    let proxy: StartedProxy;
    /** Takes what connects to the upstream, in place of the WebSocket server. */
    let raw: RawUpstream | null = null;
    beforeAll(async () => {
      server = http.createServer((req, res) => void res.end(`plain ${req.headers.upgrade ?? 'request'}`));
      sockets = new WebSocketServer({
        server,
        handleProtocols: (offered) => [...offered][0] ?? false,
        verifyClient: ({ req }, done) =>
          req.url === '/refused' ? done(false, 401, 'log in first', { 'X-Why': 'token' }) : done(true),
      });
      sockets.on('connection', (socket, req) => {
        socket.send(`hello ${req.url} ${req.headers['x-forwarded-for']}`);
        socket.on('message', (data, isBinary) => {
          if (!isBinary && String(data) === 'close') socket.close(4001, 'asked to');
          else if (!isBinary && String(data) === 'cut') socket.terminate();
          else socket.send(data, { binary: isBinary });
        });
      });
      // One proxy serves nearly all tests, and to start one takes longer than they do.
      front = net.createServer((socket) => void (raw === null ? server.emit('connection', socket) : raw.take(socket)));
      await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
      proxy = await start({ monolith: [`http://127.0.0.1:${(front.address() as AddressInfo).port}`] });
    });
    afterEach(async () => {
      await raw?.close();
      raw = null;
    });
    afterAll(async () => {
      await proxy.close();
      for (const client of sockets.clients) client.terminate();
      sockets.close();
      server.closeAllConnections();
      await new Promise((resolve) => front.close(resolve));
    });
    const answerRaw = async (answer: AnswerRaw): Promise<RawUpstream> => {
      raw = await startRawUpstream(answer);
      return raw;
    };

    const open = (path: string, protocols?: string) =>
      new Promise<{ socket: WebSocket; messages: string[] }>((resolve, reject) => {
        const socket = new WebSocket(`ws://127.0.0.1:${proxy.port}${path}`, protocols);
        const messages: string[] = [];
        socket.on('message', (data) => void messages.push(String(data)));
        socket.once('open', () => resolve({ socket, messages }));
        socket.once('error', reject);
      });

    // The first of these tests: nothing else has been asked of the proxy before.
    test('the first request a proxy ever gets may be an upgrade', async () => {
      const { socket, messages } = await open('/a?b=c');
      await eventually(() => messages.includes('hello /a?b=c 127.0.0.1'));
      socket.terminate();
    });

    test('messages of every kind and size go both ways unchanged, in order', async () => {
      const { socket } = await open('/echo');
      const sizes = [0, 1, 125, 126, 65_535, 65_536, 1_000_000];
      const echoes: Buffer[] = [];
      socket.on('message', (data, isBinary) => void (isBinary && echoes.push(data as Buffer)));
      for (const [i, size] of sizes.entries()) socket.send(Buffer.alloc(size, i));
      await eventually(() => echoes.length === sizes.length);
      expect(echoes.every((echo, i) => echo.equals(Buffer.alloc(sizes[i]!, i)))).toBe(true);
      socket.terminate();
    });

    test('the subprotocol is agreed on between the two ends', async () => {
      const { socket } = await open('/p', 'chat.v2');
      expect(socket.protocol).toBe('chat.v2');
      socket.terminate();
    });

    test('a close by either end reaches the other with its code and reason', async () => {
      const byServer = await open('/a');
      const closed = new Promise<[number, string]>((resolve) => {
        byServer.socket.on('close', (code, reason) => resolve([code, String(reason)]));
      });
      byServer.socket.send('close');
      expect(await closed).toEqual([4001, 'asked to']);

      const byClient = await open('/b');
      const [serverSide] = [...sockets.clients].slice(-1);
      const seen = new Promise<[number, string]>((resolve) => {
        serverSide!.on('close', (code, reason) => resolve([code, String(reason)]));
      });
      byClient.socket.close(4002, 'done');
      expect(await seen).toEqual([4002, 'done']);
      await eventually(() => !sockets.clients.has(serverSide!));
    });

    test('an end that is cut off cuts the other off', async () => {
      const byServer = await open('/a');
      const closed = new Promise<number>((resolve) => byServer.socket.on('close', resolve));
      byServer.socket.on('error', () => {});
      byServer.socket.send('cut');
      expect(await closed).toBe(1006);

      const byClient = await open('/b');
      const [serverSide] = [...sockets.clients].slice(-1);
      byClient.socket.terminate();
      await eventually(() => !sockets.clients.has(serverSide!));
    });

    test('an upgrade that the upstream refuses reaches the client with status, headers and body', async () => {
      const answer = await rawHttp({ port: proxy.port, bytes: upgradeTo('/refused'), until: 'close' });
      expect(answer.head?.status).toBe(401);
      expect(answer.head?.headers['x-why']).toEqual(['token']);
      expect(answer.body).toBe('log in first');
    });

    test('a chunked refusal arrives whole', async () => {
      await answerRaw((_request, socket) =>
        socket.write('HTTP/1.1 404 Not Found\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnope\r\n0\r\n\r\n'),
      );
      const answer = await rawHttp({ port: proxy.port, bytes: upgradeTo('/x'), until: 'close' });
      expect(answer.head?.status).toBe(404);
      expect(answer.text).toContain('nope');
    });

    test('the handshake is sent on as it came, and bytes sent along with either half of it are not lost', async () => {
      const upstream = await answerRaw((_request, socket) => {
        socket.write(
          'HTTP/1.1 101 Web Socket Here\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nX-CaSe: 1\r\nSec-WebSocket-Accept: x\r\n\r\nearly',
        );
        socket.on('data', (chunk) => socket.write(`<${chunk.toString('latin1')}>`));
      });
      const answer = await rawHttp({
        port: proxy.port,
        bytes: [
          `${upgradeTo('/a//b', 'X-strangler-side: x\r\nSec-WebSocket-Extensions: permessage-deflate\r\n')}bird`,
          { waitFor: 'early' },
          'more',
          { waitFor: 'more>' },
        ],
        until: { idleMs: 0 },
      });
      const request = upstream.received[0]!;
      expect(request.requestLine).toBe('GET /a//b HTTP/1.1');
      expect(request.all('connection')).toEqual(['Upgrade']);
      expect(request.all('upgrade')).toEqual(['websocket']);
      expect(request.all('sec-websocket-extensions')).toEqual(['permessage-deflate']);
      expect(request.all('x-strangler-side')).toEqual([]);
      expect(request.all('host')).toEqual(['shop.test']);
      expect(answer.text).toContain(
        'HTTP/1.1 101 Web Socket Here\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nX-CaSe: 1\r\nSec-WebSocket-Accept: x\r\n\r\nearly',
      );
      expect(answer.text.replaceAll('><', '')).toContain('<birdmore>');
    });

    test('an upstream that does not answer the handshake in time is a 504, one that is not there a 502', async () => {
      const silent = await startRawUpstream(() => {});
      const waiting = await start({ monolith: [silent.origin], handshakeTimeoutMs: 150 });
      const late = await rawHttp({ port: waiting.port, bytes: upgradeTo('/'), until: 'close' });
      expect(late.head?.status).toBe(504);
      await eventually(() => silent.openConnections() === 0);
      await silent.close();
      const refused = await rawHttp({ port: waiting.port, bytes: upgradeTo('/'), until: 'close' });
      expect(refused.head?.status).toBe(502);
      await waiting.close();
    });

    test('what a client sends ahead of the answer arrives after the handshake, in order', async () => {
      await answerRaw((_request, socket) => {
        setTimeout(
          () => socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n'),
          100,
        );
        socket.on('data', (chunk) => socket.write(chunk));
      });
      const bytes = [
        `${upgradeTo('/')}one`,
        { waitMs: 20 },
        'two',
        { waitMs: 20 },
        'three',
        { waitFor: 'onetwothree' },
      ];
      const answer = await rawHttp({ port: proxy.port, bytes, until: { idleMs: 50 } });
      expect(answer.text.endsWith('\r\n\r\nonetwothree')).toBe(true);
    });

    test('a handshake goes through the accepting passes like any request', async () => {
      const bad = await rawHttp({ port: proxy.port, bytes: upgradeTo('/', 'Host: other.test\r\n'), until: 'close' });
      expect(bad.head?.status).toBe(400);
      const withBody = await rawHttp({
        port: proxy.port,
        bytes: `${upgradeTo('/', 'Content-Length: 3\r\n')}abc`,
        until: 'close',
      });
      expect(withBody.head?.status).toBe(400);
    });

    test('a client that goes away in the middle of its handshake has the upstream’s ended', async () => {
      const silent = await answerRaw(() => {});
      for (const how of ['end', 'reset'] as const) {
        const client = net.connect(proxy.port, '127.0.0.1');
        client.on('error', () => {});
        client.write(upgradeTo('/'));
        await eventually(() => silent.openConnections() === 1);
        if (how === 'end') client.end();
        else client.resetAndDestroy();
        await eventually(() => silent.openConnections() === 0);
        client.destroy();
      }
    });

    test('an upgrade to something other than WebSocket is answered as the plain request that it also is', async () => {
      const bytes =
        'GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n';
      const answer = await rawHttp({ port: proxy.port, bytes });
      expect(answer.head?.status).toBe(200);
      expect(answer.body).toBe('plain request');
    });

    test('plain requests and upgraded connections share a proxy', async () => {
      const { socket, messages } = await open('/both');
      const answer = await rawHttp({ port: proxy.port, bytes: 'GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n' });
      expect(answer.body).toBe('plain request');
      socket.send('still here');
      await eventually(() => messages.includes('still here'));
      socket.terminate();
    });
  });
}
