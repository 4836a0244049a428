import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { rawHttp } from '@strangler/platform/testing/sockets.ts';
import { type RawUpstream, startRawUpstream } from '../testing/raw-upstream.ts';
import { type InProcessProxy, startTransparentProxy } from '../testing/start-transparent-proxy.ts';
import { type Carrier, createReadConnections, type Traveller } from './read-connections.ts';
import { defaultAgentLimits } from './upstream-agent.ts';

const answer = (more = '') => `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${more}\r\nok`;
const host = 'Host: shop.test\r\n';

describe('the two ways to an instance', () => {
  let upstream: RawUpstream;
  let proxy: InProcessProxy;
  beforeEach(async () => {
    upstream = await startRawUpstream((_request, socket) => void socket.write(answer()));
    proxy = await startTransparentProxy({ monolith: [upstream.origin] });
  });
  afterEach(async () => {
    await proxy.close();
    await upstream.close();
  });
  const send = (head: string, body = '') => rawHttp({ port: proxy.port, bytes: `${head}\r\n${host}\r\n${body}` });

  test.each([
    ['a write', `POST /a HTTP/1.1\r\nContent-Length: 2\r\n${host}\r\nhi`],
    ['a write without a body', `DELETE /a HTTP/1.1\r\n${host}\r\n`],
    ['a read with a body', `GET /a HTTP/1.1\r\nContent-Length: 2\r\n${host}\r\nhi`],
    ['a read that takes trailers', `GET /a HTTP/1.1\r\nTE: trailers\r\nConnection: TE\r\n${host}\r\n`],
    ['a question for the head alone', `HEAD /a HTTP/1.1\r\n${host}\r\n`],
  ])('%s goes by another connection than plain reads, which share theirs', async (_what, bytes) => {
    await send('GET /1 HTTP/1.1');
    await rawHttp({ port: proxy.port, bytes, until: { idleMs: 50 } });
    await send('GET /2 HTTP/1.1');
    expect(upstream.received.map(({ connection }) => connection)).toEqual([1, 2, 1]);
  });
});

describe('the connections of reads', () => {
  /** Sends a read; the age of its connection, or why there is no answer. */
  const read = (origin: string): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>();
    let carrier: Carrier;
    let age: string;
    const traveller: Traveller = {
      travelsOn(chosen) {
        carrier = chosen;
      },
      onRequestStart() {
        age = carrier.carry();
      },
      refused: resolve,
      onResponseEnd: () => resolve(age),
      onResponseError: (_controller, { message, code = message }: NodeJS.ErrnoException) => resolve(code),
    };
    connections.send(origin, { method: 'GET', target: '/', headers: { Host: 'shop.test' } }, traveller);
    return promise;
  };
  let connections = createReadConnections(defaultAgentLimits, 500);
  let answerWith: string;
  let upstream: RawUpstream;
  beforeEach(async () => {
    connections = createReadConnections(defaultAgentLimits, 500);
    upstream = await startRawUpstream((_request, socket) => void socket.write(answerWith));
  });
  afterEach(async () => {
    connections.close();
    await upstream.close();
  });

  test('know whether they have carried a request before', async () => {
    answerWith = answer();
    expect(await read(upstream.origin)).toBe('fresh');
    // It is free again a moment after its answer.
    await eventually(async () => expect(await read(upstream.origin)).toBe('reused'));
  });

  test('end a second before the time that the upstream announces, where that is less than their own', async () => {
    answerWith = answer('Keep-Alive: timeout=1\r\n');
    await read(upstream.origin);
    await eventually(() => expect(upstream.openConnections()).toBe(0));
    answerWith = answer('Keep-Alive: timeout=600\r\n');
    expect(await read(upstream.origin)).toBe('fresh');
    expect(upstream.openConnections()).toBe(1);
  });

  test('are waited for by so many and no more', async () => {
    const few = createReadConnections({ ...defaultAgentLimits, maxSockets: 1 }, 500);
    answerWith = '';
    connections = few;
    const answers = Array.from({ length: 10 }, () => read(upstream.origin));
    // One is sent, and eight wait.
    expect(await answers.at(-1)).toMatch(/^8 requests to .* wait for a connection, and no more may$/);
    await upstream.close();
    await Promise.all(answers);
  });

  test('are forgotten with the last one to an origin, also where there never was one', async () => {
    answerWith = answer();
    await read(upstream.origin);
    expect(connections.origins()).toBe(1);
    const { origin } = upstream;
    await upstream.close();
    await eventually(() => expect(connections.origins()).toBe(0));
    expect(await read(origin)).toBe('ECONNREFUSED');
    await eventually(() => expect(connections.origins()).toBe(0));
  });
});
