import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { WebSocket } from 'ws';
import { type Instance, startTestService, type TestService } from '../testing/notifications.ts';
import { shopEvents as events, leftToService as mark } from '../testing/shop-events.ts';
import { closeCodes } from './stream.ts';

let service: TestService;
let second: Instance;
/** Between the second instance and Redis. */
let redis: TcpProxy;
let account = 300;
let token: string;

beforeAll(async () => {
  service = await startTestService('stream', { WORKERS: 'none', STREAM_PING: '60s', STREAM_SEND_TIMEOUT: '1s' });
  redis = await startTcpProxy(testServers().redisUrl);
  second = await service.another({ REDIS_URL: redis.url });
});
afterAll(async () => {
  await service?.stop();
  await redis?.close();
});
beforeEach(async () => {
  account += 1;
  token = await service.issuer.token(account);
});

type Message = { type: string; after?: number; notification?: { id: number; title: string } };

/** A client of the stream; `messages` grows as they come. */
function listen(query: string, to: Instance = service) {
  const socket = new WebSocket(`${to.url.replace('http', 'ws')}/api/notifications/stream${query}`);
  const messages: Message[] = [];
  socket.on('message', (data) => messages.push(JSON.parse(String(data))));
  socket.on('error', () => {});
  return {
    socket,
    messages,
    ids: () => messages.flatMap(({ notification }) => (notification ? [notification.id] : [])),
    ready: () => eventually(() => messages[0]?.type === 'ready'),
    closed: once(socket, 'close').then(([code, reason]) => ({ code: code as number, reason: String(reason) })),
  };
}

/** Of one order, whose events keep their order. */
const tell = (more: { mark?: string } = { mark }) => service.tell(events.order('shipped', account, account, more));

/** The ids of the account's notifications in the database, oldest first, when there are so many. */
async function idsWhen(count: number): Promise<number[]> {
  const { body } = await eventually(async () => {
    const answer = await service.send('GET', '/api/notifications?limit=100', { token });
    return answer.body.items.length === count && answer;
  });
  return body.items.map((item: { id: number }) => item.id).reverse();
}

describe('the stream', () => {
  test('gives what comes, in order, on whichever instance, whichever of them has taken the event', async () => {
    const clients = [listen(`?access_token=${token}`), listen(`?access_token=${token}`, second)];
    await Promise.all(clients.map((client) => client.ready()));
    for (let n = 0; n < 5; n += 1) await tell();
    const ids = await idsWhen(5);
    for (const client of clients) await eventually(() => expect(client.ids()).toEqual(ids));
    for (const { socket } of clients) socket.close();
  });

  test('says nothing of what the shop delivers', async () => {
    const client = listen(`?access_token=${token}&after=0`);
    await client.ready();
    await tell({});
    await tell({ mark: 'monolith/2' });
    await tell();
    const ids = await idsWhen(3);
    await eventually(() => expect(client.ids()).toEqual([ids[2]]));
    client.socket.close();
  });

  test('gives first what was missed, then what comes, each once; a last id of the shop’s misses nothing', async () => {
    for (let n = 0; n < 3; n += 1) await tell();
    const ids = await idsWhen(3);
    const [behind, fromShop] = [
      listen(`?access_token=${token}&after=${ids[0]}`),
      listen(`?access_token=${token}&after=4711`),
    ];
    await Promise.all([behind.ready(), fromShop.ready()]);
    await tell();
    const all = await idsWhen(4);
    await eventually(() => expect(behind.ids()).toEqual(all.slice(1)));
    await eventually(() => expect(fromShop.ids()).toEqual(all));
    behind.socket.close();
    fromShop.socket.close();
  });

  test('of an instance that stops is closed with 1001 and goes on at another from where it was', async () => {
    const third = await service.another();
    const client = listen(`?access_token=${token}`, third);
    await client.ready();
    await tell();
    await eventually(() => expect(client.ids()).toHaveLength(1));
    await third.lifecycle.stop('test');
    expect((await client.closed).code).toBe(closeCodes.goingAway);
    await tell();
    const ids = await idsWhen(2);
    const again = listen(`?access_token=${token}&after=${client.ids()[0]}`, second);
    await eventually(() => expect(again.ids()).toEqual([ids[1]]));
    again.socket.close();
  });

  test('of an instance that had no Redis for a while gives what it was not told of as soon as Redis is back', async () => {
    const client = listen(`?access_token=${token}`, second);
    await client.ready();
    await redis.refuse();
    await eventually(() => !second.listening());
    await tell();
    const ids = await idsWhen(1);
    await redis.pass();
    await eventually(() => expect(client.ids()).toEqual(ids));
    client.socket.close();
  });

  test('is closed with a code that says so when its client takes nothing, and costs one page of memory until then', async () => {
    const wide = 'x'.repeat(900);
    await tell();
    await idsWhen(1);
    // More than the sockets' buffers on the way hold.
    const rows = Array.from({ length: 6_000 }, (_, n) => [
      ...[account, 'order_shipped', 1, 'Wide', wide, new Date(), 'service', `wide-${account}-${n}`, 1, n, 1],
    ]);
    await service.pool.query(
      `INSERT INTO notifications (account_id, kind, order_id, title, body, created_at, delivered_by, event_id, event_epoch, event_position, marked)
       VALUES ?`,
      [rows],
    );
    const { hostname, port } = new URL(service.url);
    const socket = connect({ host: hostname, port: Number(port) });
    let received = Buffer.alloc(0);
    socket.write(
      `GET /api/notifications/stream?access_token=${token}&after=0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    await once(socket, 'readable');
    const slow = await eventually(async () => {
      const metric = await service.metrics.getSingleMetricAsString('notifications_streams_slow_total');
      return Number(/notifications_streams_slow_total(?:\{.*\})? (\d+)/.exec(metric)?.[1] ?? 0);
    });
    expect(slow).toBe(1);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received.subarray(-200), chunk]);
    });
    await eventually(() => received.includes('what was sent was not accepted'));
    socket.destroy();
    // The last frame: close, with the code and the reason.
    const frame = received.subarray(received.lastIndexOf(Buffer.from('what was sent was not accepted')) - 4);
    expect([frame[0], frame.readUInt16BE(2)]).toEqual([0x88, closeCodes.tooSlow]);
  });

  test('ends with the token that opened it', async () => {
    const brief = await service.issuer.token(account, 'customer', '2s');
    const client = listen(`?access_token=${brief}`);
    await client.ready();
    expect((await client.closed).code).toBe(closeCodes.tokenExpired);
  });

  test('is refused without a token, with a bad one, with a bad `after`, and beyond ten at once', async () => {
    const refusal = async (query: string): Promise<number> => {
      const socket = new WebSocket(`${service.url.replace('http', 'ws')}/api/notifications/stream${query}`);
      socket.on('error', () => {});
      const [, response] = await once(socket, 'unexpected-response');
      return response.statusCode;
    };
    expect(await refusal('')).toBe(401);
    expect(await refusal('?access_token=nonsense')).toBe(401);
    expect(await refusal(`?access_token=${token}&after=-1`)).toBe(400);
    const clients = Array.from({ length: 10 }, () => listen(`?access_token=${token}`));
    await Promise.all(clients.map((client) => client.ready()));
    expect(await refusal(`?access_token=${token}`)).toBe(429);
    for (const { socket } of clients) socket.close();
  });
});
