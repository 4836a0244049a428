import { createHash, randomBytes } from 'node:crypto';
import { Agent, createServer, request, type Server } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { freePort, type RawAnswer, rawHttp } from '@strangler/platform/testing/sockets.ts';
import { type AnswerRaw, ok, type RawUpstream, startRawUpstream } from '../testing/raw-upstream.ts';
import { type HeldProxy, startHeldProxy } from '../testing/start-held-proxy.ts';

const host = 'Host: shop.test\r\n';
const get = `GET /api/products HTTP/1.1\r\n${host}\r\n`;
const post = (body = 'hello', more = '') =>
  `POST /api/products HTTP/1.1\r\n${host}${more}Content-Length: ${body.length}\r\n\r\n${body}`;

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.close();
});
const upstreamThat = async (answer: AnswerRaw, when: 'whole' | 'head' = 'whole'): Promise<RawUpstream> => {
  const upstream = await startRawUpstream(answer, { when });
  open.unshift(upstream);
  return upstream;
};
const answering = (text: string) => upstreamThat((_request, socket) => void socket.write(ok(text)));
const proxyWith = async (wishes: Parameters<typeof startHeldProxy>[0]): Promise<HeldProxy> => {
  const proxy = await startHeldProxy(wishes);
  open.unshift(proxy);
  return proxy;
};
const both = async () => {
  const [monolith, service] = [await answering('monolith'), await answering('service')];
  return { monolith, service, origins: { monolith: [monolith.origin], service: [service.origin] } };
};

describe('a held write', () => {
  test('waits, reaches nobody, and goes to the new owner with the new epoch when the flag says so', async () => {
    const { monolith, service, origins } = await both();
    const proxy = await proxyWith(origins);
    proxy.hold();
    const answer = rawHttp({ port: proxy.port, bytes: post() });
    await eventually(() => proxy.heldNow() === 1);
    expect([monolith.received.length, service.received.length]).toEqual([0, 0]);
    const { epoch } = proxy.own('service');
    expect((await answer).body).toBe('service');
    expect(service.received[0]?.all('x-strangler-epoch')).toEqual([`${epoch}`]);
    expect(service.received[0]?.rawBody).toBe('hello');
    expect(monolith.received).toEqual([]);
  });

  test('goes to the old owner where the hold is called off, and waits on where another one follows', async () => {
    const { monolith, service, origins } = await both();
    const proxy = await proxyWith(origins);
    proxy.hold();
    const answer = rawHttp({ port: proxy.port, bytes: post() });
    await eventually(() => proxy.heldNow() === 1);
    proxy.hold();
    expect(proxy.heldNow()).toBe(1);
    const { epoch } = proxy.own('monolith');
    expect((await answer).body).toBe('monolith');
    expect(monolith.received[0]?.one('x-strangler-epoch')).toBe(`${epoch}`);
    expect(service.received).toEqual([]);
  });

  test('is answered 503 with Retry-After at the deadline, and so is one that comes later', async () => {
    const { monolith, service, origins } = await both();
    const proxy = await proxyWith(origins);
    proxy.hold(50);
    const waited = await rawHttp({ port: proxy.port, bytes: post() });
    const late = await rawHttp({ port: proxy.port, bytes: post() });
    for (const answer of [waited, late]) {
      expect(answer.head?.status).toBe(503);
      expect(answer.head?.headers['retry-after']).toEqual(['1']);
      expect(answer.head?.headers['content-type']?.[0]).toMatch('application/problem+json');
    }
    expect(proxy.finished.map(({ outcome }) => outcome)).toEqual([
      { kind: 'held', why: 'deadline', status: 503 },
      { kind: 'held', why: 'deadline', status: 503 },
    ]);
    expect([monolith.received.length, service.received.length, proxy.inFlight()]).toEqual([0, 0, 0]);
  });

  test('waits no longer than one may, whatever the deadline', async () => {
    const proxy = await proxyWith({ ...(await both()).origins, bounds: { maxWaitMs: 30 } });
    proxy.hold(60_000);
    expect((await rawHttp({ port: proxy.port, bytes: post() })).head?.status).toBe(503);
  });

  test('is answered 503 where as many wait as may, and those that wait are not disturbed', async () => {
    const proxy = await proxyWith({ ...(await both()).origins, bounds: { maxWaiting: 2 } });
    proxy.hold();
    const waiting = [rawHttp({ port: proxy.port, bytes: post() }), rawHttp({ port: proxy.port, bytes: post() })];
    await eventually(() => proxy.heldNow() === 2);
    const third = await rawHttp({ port: proxy.port, bytes: post() });
    expect([third.head?.status, third.head?.headers['retry-after']]).toEqual([503, ['1']]);
    proxy.own('service');
    expect((await Promise.all(waiting)).map(({ body }) => body)).toEqual(['service', 'service']);
    expect(proxy.ends).toEqual(['full', 'released', 'released']);
  });

  test('leaves its place when its client goes away, and nobody is asked', async () => {
    const { service, origins } = await both();
    const proxy = await proxyWith(origins);
    proxy.hold();
    const client = net.connect(proxy.port, '127.0.0.1');
    client.on('error', () => {});
    client.write(post('gone!'));
    await eventually(() => proxy.heldNow() === 1);
    const stays = rawHttp({ port: proxy.port, bytes: post('stays') });
    await eventually(() => proxy.heldNow() === 2);
    client.destroy();
    await eventually(() => proxy.heldNow() === 1);
    proxy.own('service');
    expect((await stays).body).toBe('service');
    expect(service.received.map(({ rawBody }) => rawBody)).toEqual(['stays']);
    expect(proxy.finished[0]?.outcome.kind).toBe('client-aborted');
    await eventually(() => proxy.inFlight() === 0);
  });

  test('does not keep reads waiting', async () => {
    const proxy = await proxyWith((await both()).origins);
    proxy.hold();
    expect((await rawHttp({ port: proxy.port, bytes: get })).body).toBe('service');
  });

  test('that waits for 100 Continue is told to go on when it is sent on, and not before', async () => {
    const { service, origins } = await both();
    const proxy = await proxyWith(origins);
    proxy.hold();
    const head = `POST /api/products HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n`;
    const client = net.connect(proxy.port, '127.0.0.1');
    let text = '';
    client.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    client.write(head);
    await eventually(() => proxy.heldNow() === 1);
    // A read that was sent later is answered by now; had there been a 100, it would have come before.
    await rawHttp({ port: proxy.port, bytes: get });
    expect(text).toBe('');
    proxy.own('service');
    await eventually(() => text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
    client.write('hello');
    await eventually(() => text.endsWith('service'));
    expect(service.received.filter(({ requestLine }) => requestLine.startsWith('POST'))[0]?.rawBody).toBe('hello');
    client.destroy();
  });

  test('with a body that comes slowly arrives whole, what came before the release and what came after', async () => {
    const { service, origins } = await both();
    const proxy = await proxyWith(origins);
    proxy.hold();
    const client = net.connect(proxy.port, '127.0.0.1');
    let text = '';
    client.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    client.write(`POST /api/products HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n3\r\nuno\r\n`);
    await eventually(() => proxy.heldNow() === 1);
    client.write('3\r\nzwo\r\n');
    await rawHttp({ port: proxy.port, bytes: get });
    proxy.own('service');
    await eventually(() => proxy.gate.status()[0]?.inFlight.length === 1);
    client.write('6\r\nslowly\r\n0\r\n\r\n');
    await eventually(() => text.endsWith('service'));
    const [write] = service.received.filter(({ requestLine }) => requestLine.startsWith('POST'));
    expect(write?.rawBody.replaceAll(/(?:^|\r\n)\d+\r\n|\r\n/g, '')).toBe('unozwoslowly');
    client.destroy();
  });

  test('pipelined behind another request is decided about when its turn comes', async () => {
    let answerRead = () => {};
    const monolith = await answering('monolith');
    const service = await upstreamThat((request, socket) => {
      if (request.requestLine.startsWith('GET')) answerRead = () => void socket.write(ok('read'));
      else socket.write(ok('service'));
    });
    const proxy = await proxyWith({ monolith: [monolith.origin], service: [service.origin] });
    const answers = rawHttp({ port: proxy.port, bytes: get + post(), answers: 2 });
    await eventually(() => service.received.length === 1);
    proxy.hold();
    expect(proxy.quiet.at(-1)).toMatchObject({ changeId: 'change-2' });
    answerRead();
    await eventually(() => proxy.heldNow() === 1);
    proxy.own('service');
    expect((await answers).text).toContain('service');
    expect(monolith.received).toEqual([]);
  });
});

describe('a release', () => {
  test('sends 1,000 held writes in the order in which they came, none twice', async () => {
    const numbers: number[] = [];
    const service = await upstreamThat((request, socket) => {
      numbers.push(Number(request.one('x-number')));
      socket.write(ok('service'));
    });
    const proxy = await proxyWith({
      monolith: [`http://127.0.0.1:${await freePort()}`],
      service: [service.origin],
      bounds: { releaseConcurrency: 1 },
    });
    proxy.hold();
    const answers: Promise<RawAnswer>[] = [];
    for (let number = 0; number < 1_000; number += 1) {
      answers.push(rawHttp({ port: proxy.port, bytes: post('hello', `X-Number: ${number}\r\n`), timeoutMs: 60_000 }));
      while (proxy.heldNow() <= number) await setImmediate();
    }
    proxy.own('service');
    const statuses = (await Promise.all(answers)).map(({ head }) => head?.status);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(numbers).toEqual(Array.from({ length: 1_000 }, (_, number) => number));
  }, 180_000);

  test('has no more writes at the new owner at once than it may, and lets those that come meanwhile wait behind', async () => {
    const waiting: (() => void)[] = [];
    const numbers: string[] = [];
    const service = await upstreamThat((request, socket) => {
      numbers.push(request.one('x-number') ?? '');
      waiting.push(() => void socket.write(ok('service')));
    });
    const proxy = await proxyWith({ monolith: [], service: [service.origin], bounds: { releaseConcurrency: 3 } });
    proxy.hold();
    const send = (number: number) => rawHttp({ port: proxy.port, bytes: post('hello', `X-Number: ${number}\r\n`) });
    const answers: Promise<RawAnswer>[] = [];
    for (let number = 0; number < 5; number += 1) {
      answers.push(send(number));
      await eventually(() => proxy.heldNow() === number + 1);
    }
    proxy.own('service');
    await eventually(() => waiting.length === 3);
    answers.push(send(5));
    await eventually(() => proxy.heldNow() === 3);
    expect(waiting).toHaveLength(3);
    waiting.shift()!();
    await eventually(() => numbers.length === 4);
    for (let sent = 4; sent <= 6; sent += 1) {
      for (const answer of waiting.splice(0)) answer();
      await eventually(() => numbers.length >= sent);
    }
    for (const answer of waiting.splice(0)) answer();
    expect((await Promise.all(answers)).every(({ head }) => head?.status === 200)).toBe(true);
    expect(new Set(numbers.slice(0, 3))).toEqual(new Set(['0', '1', '2']));
    expect(numbers[3]).toBe('3');
  });

  test('delivers bodies of all sizes byte for byte', async () => {
    const received: string[] = [];
    const server: Server = createServer((req, res) => {
      const hash = createHash('sha256');
      req.on('data', (chunk: Buffer) => hash.update(chunk));
      req.on('end', () => {
        received.push(hash.digest('hex'));
        res.end('service');
      });
    }).listen(0, '127.0.0.1');
    await new Promise((listening) => server.once('listening', listening));
    open.push({
      close: async () => {
        server.closeAllConnections();
        server.close();
      },
    });
    const proxy = await proxyWith({
      monolith: [],
      service: [`http://127.0.0.1:${(server.address() as AddressInfo).port}`],
    });
    proxy.hold();
    const agent = new Agent();
    const bodies = [0, 1, 1_000, 20_000, 70_000, 300_000, 2_000_000].map((bytes) => randomBytes(bytes));
    const answers = bodies.map(
      (body, at) =>
        new Promise<number>((resolve, reject) => {
          const sent = request(
            {
              agent,
              port: proxy.port,
              method: 'POST',
              path: '/api/products',
              headers: at % 2 === 0 ? { 'content-length': body.length } : { 'transfer-encoding': 'chunked' },
            },
            (res) => {
              res.resume();
              res.on('end', () => resolve(res.statusCode ?? 0));
            },
          );
          sent.on('error', reject);
          sent.end(body);
        }),
    );
    await eventually(() => proxy.heldNow() === bodies.length);
    proxy.own('service');
    expect(new Set(await Promise.all(answers))).toEqual(new Set([200]));
    const hashOf = (body: Buffer) => createHash('sha256').update(body).digest('hex');
    expect(received.toSorted()).toEqual(bodies.map(hashOf).toSorted());
    agent.destroy();
  });
});

describe('a slice under a hold', () => {
  test('is quiet when the last write that was sent before has been answered', async () => {
    let answerNow = () => {};
    const monolith = await upstreamThat((_request, socket) => {
      answerNow = () => void socket.write(ok('monolith'));
    });
    const proxy = await proxyWith({ monolith: [monolith.origin], service: [] });
    const first = rawHttp({ port: proxy.port, bytes: post() });
    await eventually(() => monolith.received.length === 1);
    expect(proxy.gate.status()[0]?.inFlight).toEqual([{ side: 'monolith', epoch: 1, writes: 1 }]);
    const { epoch, change } = proxy.hold();
    expect([proxy.quiet, proxy.gate.status()[0]?.acknowledged]).toEqual([[], null]);
    answerNow();
    await first;
    await eventually(() => proxy.quiet.length === 1);
    expect(proxy.quiet).toEqual([{ epoch, changeId: change.id, heldNow: 0 }]);
    proxy.own('service');
    expect(proxy.quiet.at(-1)).toBeNull();
  });

  test('is not quiet while a write of before is still being tried at another instance', async () => {
    let answerNow = () => {};
    const monolith = await upstreamThat((_request, socket) => {
      answerNow = () => void socket.write(ok('monolith'));
    });
    const refusing = `http://127.0.0.1:${await freePort()}`;
    const proxy = await proxyWith({ monolith: [refusing, monolith.origin], service: [] });
    const first = rawHttp({ port: proxy.port, bytes: post() });
    await eventually(() => proxy.gate.status()[0]?.inFlight.length === 1);
    proxy.hold();
    await eventually(() => monolith.received.length === 1);
    expect(proxy.quiet).toEqual([]);
    answerNow();
    expect((await first).body).toBe('monolith');
    await eventually(() => proxy.quiet.length === 1);
  });

  test('is not quiet while the body of an answered write is still being sent', async () => {
    const monolith = await upstreamThat((_request, socket) => void socket.write(ok('early')), 'head');
    const proxy = await proxyWith({ monolith: [monolith.origin], service: [] });
    const client = net.connect(proxy.port, '127.0.0.1');
    client.on('error', () => {});
    let text = '';
    client.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    client.write(`POST /api/products HTTP/1.1\r\n${host}Content-Length: 10\r\n\r\nhello`);
    await eventually(() => text.endsWith('early'));
    proxy.hold();
    expect(proxy.gate.status()[0]?.inFlight).toHaveLength(1);
    expect(proxy.quiet).toEqual([]);
    client.write('world');
    await eventually(() => proxy.quiet.length === 1);
    client.destroy();
  });

  test('is quiet again when a client has gone away in the middle of its write', async () => {
    const monolith = await upstreamThat(() => {});
    const proxy = await proxyWith({ monolith: [monolith.origin], service: [] });
    const client = net.connect(proxy.port, '127.0.0.1');
    client.on('error', () => {});
    client.write(post());
    await eventually(() => monolith.received.length === 1);
    proxy.hold();
    expect(proxy.quiet).toEqual([]);
    client.destroy();
    await eventually(() => proxy.quiet.length === 1);
    await eventually(() => monolith.openConnections() === 0);
  });
});

describe('a write that its owner refuses for a stale epoch', () => {
  const stale = (known: number) =>
    `HTTP/1.1 409 Conflict\r\nX-Strangler-Stale-Epoch: ${known}\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n\r\n{}`;

  test.each([
    ['with a length', post('hello')],
    ['in chunks', `POST /api/products HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`],
    ['without a body', `POST /api/products HTTP/1.1\r\n${host}\r\n`],
  ])('is decided anew once and sent to the new owner, %s', async (_kind, bytes) => {
    const monolith = await answering('monolith');
    let flip = () => {};
    const service = await upstreamThat((_request, socket) => {
      flip();
      socket.write(stale(3));
    });
    const proxy = await proxyWith({ monolith: [monolith.origin], service: [service.origin] });
    proxy.own('service');
    flip = () => void proxy.own('monolith');
    expect((await rawHttp({ port: proxy.port, bytes })).body).toBe('monolith');
    expect(monolith.received[0]?.one('x-strangler-epoch')).toBe('3');
    expect(monolith.received[0]?.rawBody).toBe(service.received[0]?.rawBody);
    expect(proxy.gate.status()[0]?.inFlight).toEqual([]);
  });

  test('waits where its slice is held by now', async () => {
    const monolith = await answering('monolith');
    let flip = () => {};
    const service = await upstreamThat((_request, socket) => {
      flip();
      socket.write(stale(3));
    });
    const proxy = await proxyWith({ monolith: [monolith.origin], service: [service.origin] });
    proxy.own('service');
    flip = () => void proxy.hold();
    const answer = rawHttp({ port: proxy.port, bytes: post() });
    await eventually(() => proxy.heldNow() === 1);
    proxy.own('monolith');
    expect((await answer).body).toBe('monolith');
  });

  test('is answered 503 where nothing newer is known, or its body was too large to keep', async () => {
    let flip = () => {};
    const service = await upstreamThat((_request, socket) => {
      flip();
      socket.write(stale(9));
    });
    const proxy = await proxyWith({ monolith: [(await answering('monolith')).origin], service: [service.origin] });
    proxy.own('service');
    const unknown = await rawHttp({ port: proxy.port, bytes: post() });
    flip = () => void proxy.own('service');
    const large = await rawHttp({ port: proxy.port, bytes: post('x'.repeat(100_000)) });
    for (const answer of [unknown, large]) {
      expect([answer.head?.status, answer.head?.headers['retry-after']]).toEqual([503, ['1']]);
      expect(answer.head?.headers['x-strangler-stale-epoch']).toBeUndefined();
    }
    expect(proxy.finished.map(({ outcome }) => outcome)).toEqual([
      { kind: 'held', why: 'stale-epoch', status: 503 },
      { kind: 'held', why: 'stale-epoch', status: 503 },
    ]);
    expect([service.received.length, proxy.inFlight()]).toEqual([2, 0]);
  });

  test('is not sent a third time', async () => {
    let flip = () => {};
    const service = await upstreamThat((_request, socket) => {
      flip();
      socket.write(stale(9));
    });
    const proxy = await proxyWith({ monolith: [], service: [service.origin] });
    proxy.own('service');
    flip = () => void proxy.own('service');
    expect((await rawHttp({ port: proxy.port, bytes: post() })).head?.status).toBe(503);
    expect(service.received).toHaveLength(2);
  });

  test('is told apart from a 409 that the application means', async () => {
    const service = await upstreamThat(
      (_request, socket) => void socket.write('HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno'),
    );
    const proxy = await proxyWith({ monolith: [], service: [service.origin] });
    proxy.own('service');
    expect((await rawHttp({ port: proxy.port, bytes: post() })).body).toBe('no');
    expect(service.received).toHaveLength(1);
  });
});
