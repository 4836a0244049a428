import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { Registry } from 'prom-client';
import { WebSocket } from 'ws';
import { type Commerce, commerceOf } from '../../testing/commerce.ts';
import { startTestShop, type TestAccount, type TestShop } from '../../testing/shop.ts';
import { inTransaction } from '../../transaction.ts';
import { LocalNotifications } from './notifications.ts';
import { closeCodes } from './stream.ts';
import { defaultStreamLimits, StreamServer, streamPath } from './stream-server.ts';
import { createWakeUps, type WakeUps } from './wake-ups.ts';

let shop: TestShop;
let commerce: Commerce;
let reader: TestAccount;
/** Of "another process": its wake-ups reach the shop through Redis alone. */
let elsewhere: WakeUps;

beforeAll(async () => {
  shop = await startTestShop('notifications');
  commerce = await commerceOf(shop);
  elsewhere = createWakeUps({ ...shop.deps.config, redis: shop.deps.redis, log: shop.deps.log });
});
afterAll(() => shop?.stop());
beforeEach(async () => {
  reader = await shop.account('customer');
});

/** Writes a notification as a process does that wakes others by `wake`. */
async function write(accountId: number, wake: (accountId: number) => void = elsewhere.wake, holdMs = 0): Promise<void> {
  const notifications = new LocalNotifications({ ...shop.deps, wake });
  await inTransaction(shop.deps.sequelize, async (transaction) => {
    const now = shop.clock.now();
    const order = await shop.deps.models.Order.create(
      { account_id: accountId, status: 'paid', total_cents: 1, currency: 'EUR', created_at: now, updated_at: now },
      { transaction },
    );
    const happening = {
      kind: 'order_placed',
      accountId,
      orderId: order.id,
      amountCents: 1_234,
      currency: 'EUR',
    } as const;
    await notifications.record(happening, transaction);
    if (holdMs > 0) await new Promise((resolve) => setTimeout(resolve, holdMs));
  });
}

type Message = { type: string; after?: number; notification?: { id: number; title: string } };

/** A client of the stream; `messages` grows as they come. */
function listen(
  query: string,
  { url = shop.url, headers = {} }: { url?: string; headers?: Record<string, string> } = {},
) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/notifications/stream${query}`, { headers });
  const messages: Message[] = [];
  socket.on('message', (data) => messages.push(JSON.parse(String(data))));
  return {
    socket,
    messages,
    ids: () => messages.flatMap(({ notification }) => (notification ? [notification.id] : [])),
    ready: () => eventually(() => messages[0]?.type === 'ready'),
    closed: once(socket, 'close').then(([code]) => code as number),
  };
}

/** The status and body with which an upgrade is refused. */
function refusal(
  query: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: { title: string } }> {
  const socket = new WebSocket(`${shop.url.replace('http', 'ws')}/api/notifications/stream${query}`, { headers });
  return new Promise((resolve, reject) => {
    socket.on('open', () => reject(new Error('the upgrade was not refused')));
    socket.on('error', () => {});
    socket.on('unexpected-response', async (_, response) => {
      let text = '';
      for await (const chunk of response) text += chunk;
      resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
    });
  });
}

const idsOf = async (accountId: number): Promise<number[]> =>
  (await shop.deps.models.Notification.findAll({ where: { account_id: accountId }, order: [['id', 'ASC']] })).map(
    (row) => row.id,
  );

describe('notifications', () => {
  test('are listed newest first, page by page, with the number of unread ones', async () => {
    for (let i = 0; i < 5; i += 1) await write(reader.id);
    const one = await reader.client.get('/api/notifications?limit=3');
    const two = await reader.client.get(`/api/notifications?limit=3&cursor=${one.body.next_cursor}`);
    const ids = [...one.body.items, ...two.body.items].map((item: { id: number }) => item.id);
    expect(ids).toEqual((await idsOf(reader.id)).reverse());
    expect([one.body.unread, two.body.next_cursor]).toEqual([5, null]);
    expect(one.body.items[0].body).toContain('12.34 EUR');
  });

  test('are marked as read once, also by ten requests at once', async () => {
    await write(reader.id);
    await write(reader.id);
    const [id] = await idsOf(reader.id);
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => reader.client.post(`/api/notifications/${id}/read`)),
    );
    const times = answers.map((answer) => answer.body.read_at);
    expect(times[0]).not.toBeNull();
    expect(new Set(times).size).toBe(1);
    const left = await reader.client.get('/api/notifications?only=unread');
    expect([left.body.items.length, left.body.unread]).toEqual([1, 1]);
  });

  test('of others are not there', async () => {
    await write(reader.id);
    const [id] = await idsOf(reader.id);
    const other = await shop.account('customer');
    expect((await other.client.post(`/api/notifications/${id}/read`)).status).toBe(404);
    expect((await other.client.get('/api/notifications')).body.items).toEqual([]);
    expect((await shop.client.get('/api/notifications')).status).toBe(401);
    expect((await shop.client.post(`/api/notifications/${id}/read`)).status).toBe(401);
    expect((await reader.client.post('/api/notifications/x/read')).status).toBe(400);
  });

  test('are not written when their cause is rolled back', async () => {
    const woken: number[] = [];
    const notifications = new LocalNotifications({ ...shop.deps, wake: (accountId) => woken.push(accountId) });
    const failing = inTransaction(shop.deps.sequelize, async (transaction) => {
      const happening = {
        kind: 'order_placed',
        accountId: reader.id,
        orderId: 1,
        amountCents: 1,
        currency: 'EUR',
      } as const;
      await notifications.record(happening, transaction).catch(() => {});
      throw new Error('no order after all');
    });
    await expect(failing).rejects.toThrow('no order after all');
    expect([await idsOf(reader.id), woken]).toEqual([[], []]);
  });

  test('of one account become visible in the order of their ids, however long their transactions last', async () => {
    const seen = new Set<number>();
    let largest = 0;
    let writing = true;
    const watch = async () => {
      while (writing) {
        for (const id of await idsOf(reader.id)) {
          if (seen.has(id)) continue;
          // One that appears below another that was seen before would be missed by "everything after".
          expect(id).toBeGreaterThan(largest);
          seen.add(id);
          largest = id;
        }
      }
    };
    const watching = watch();
    await Promise.all(Array.from({ length: 12 }, (_, i) => write(reader.id, () => {}, (i * 7) % 20)));
    writing = false;
    await watching;
  });
});

describe('the stream', () => {
  test('gives what comes, in order, whoever writes it: this process or, through Redis, another one', async () => {
    const client = listen(`?access_token=${reader.token}`);
    await client.ready();
    const productId = await commerce.product();
    await commerce.fill(reader, { [productId]: 1 });
    await commerce.checkOut(reader);
    await eventually(async () => expect(client.ids()).toHaveLength(1));
    await Promise.all([write(reader.id), write(reader.id), write(reader.id)]);
    const expected = await idsOf(reader.id);
    await eventually(() => expect(client.ids()).toEqual(expected));
    client.socket.close();
  });

  test('gives first what was missed, then what comes, each once', async () => {
    for (let i = 0; i < 3; i += 1) await write(reader.id);
    const [first] = await idsOf(reader.id);
    const client = listen(`?after=${first}`, { headers: { authorization: `Bearer ${reader.token}` } });
    await Promise.all([write(reader.id), write(reader.id)]);
    const expected = (await idsOf(reader.id)).slice(1);
    await eventually(() => expect(client.ids()).toEqual(expected));
    client.socket.close();
  });

  test('gives a long past page by page, all of it', async () => {
    const { Notification } = shop.deps.models;
    await write(reader.id);
    const [template] = await Notification.findAll({ where: { account_id: reader.id } });
    const rows = Array.from({ length: 230 }, () => ({ ...template!.get({ plain: true }), id: undefined }));
    await Notification.bulkCreate(rows as never);
    const client = listen(`?access_token=${reader.token}&after=0`);
    const expected = await idsOf(reader.id);
    await eventually(() => expect(client.ids()).toEqual(expected));
    client.socket.close();
  });

  test('without `after` begins with what is to come', async () => {
    await write(reader.id);
    const client = listen(`?access_token=${reader.token}`);
    await client.ready();
    await write(reader.id);
    const [, second] = await idsOf(reader.id);
    await eventually(() => expect(client.ids()).toEqual([second]));
    client.socket.close();
  });

  test('gives nobody what belongs to another account', async () => {
    const other = await shop.account('customer');
    const [mine, theirs] = [listen(`?access_token=${reader.token}`), listen(`?access_token=${other.token}`)];
    await Promise.all([mine.ready(), theirs.ready()]);
    await write(reader.id);
    await eventually(() => expect(mine.ids()).toHaveLength(1));
    await write(other.id);
    await eventually(() => expect(theirs.ids()).toEqual([...theirs.ids()].filter((id) => !mine.ids().includes(id))));
    await eventually(() => expect(theirs.ids()).toHaveLength(1));
    expect(mine.ids()).toHaveLength(1);
    mine.socket.close();
    theirs.socket.close();
  });

  test('is refused with a problem: without a token, with a bad one, with a bad `after`, beyond ten at once', async () => {
    expect(await refusal('')).toMatchObject({ status: 401, body: { title: 'Unauthorized' } });
    expect((await refusal('?access_token=nonsense')).status).toBe(401);
    expect((await refusal(`?access_token=${reader.token}&after=-1`)).status).toBe(400);
    const clients = Array.from({ length: 10 }, () => listen(`?access_token=${reader.token}`));
    await Promise.all(clients.map((client) => client.ready()));
    expect((await refusal(`?access_token=${reader.token}`)).status).toBe(429);
    clients[0]!.socket.close();
    await clients[0]!.closed;
    const eleventh = await eventually(async () => {
      const client = listen(`?access_token=${reader.token}`);
      client.socket.on('error', () => {});
      await once(client.socket, 'open');
      return client;
    });
    for (const { socket } of [...clients, eleventh]) socket.close();
  });

  test('asked for without an upgrade answers 426', async () => {
    const answer = await reader.client.get('/api/notifications/stream');
    expect([answer.status, answer.headers.get('upgrade')]).toEqual([426, 'websocket']);
  });

  test('is given up by the server when a message is larger than any it expects', async () => {
    const client = listen(`?access_token=${reader.token}`);
    await client.ready();
    client.socket.send('x'.repeat(2_000));
    expect(await client.closed).toBe(1009);
  });

  test('is closed with 1001 when the server stops, and goes on elsewhere from where it was', async () => {
    const second = await startTestShop('notif_stop', {
      DATABASE_URL: shop.databaseUrl,
      REDIS_PREFIX: shop.deps.config.redisPrefix,
    });
    const client = listen(`?access_token=${reader.token}`, { url: second.url });
    await client.ready();
    await write(reader.id);
    await eventually(() => expect(client.ids()).toHaveLength(1));
    await second.stop();
    expect(await client.closed).toBe(1001);
    await write(reader.id);
    const again = listen(`?access_token=${reader.token}&after=${client.ids()[0]}`);
    const [, expected] = await idsOf(reader.id);
    await eventually(() => expect(again.ids()).toEqual([expected]));
    again.socket.close();
  });

  test('is closed when the token that opened it expires', async () => {
    const brief = await startTestShop('notif_expiry', { ACCESS_TOKEN_TTL: '2s' });
    try {
      const client = listen(`?access_token=${(await brief.account('customer')).token}`, { url: brief.url });
      await client.ready();
      expect(await client.closed).toBe(closeCodes.tokenExpired);
    } finally {
      await brief.stop();
    }
  });

  test('is given up when its client answers no pings, and kept when it does', async () => {
    const streams = new StreamServer({
      ...shop.deps,
      metrics: new Registry(),
      notifications: new LocalNotifications({ ...shop.deps, wake: () => {} }),
      tells: () => true,
      wakeUps: createWakeUps({ redis: undefined, redisUrl: undefined, redisPrefix: '', log: shop.deps.log }),
      limits: { ...defaultStreamLimits, pingEveryMs: 500 },
    });
    const server = createServer();
    server.on('upgrade', (request, socket, head) => streams.onUpgrade(request, socket, head));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    streams.start();
    try {
      const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}${streamPath}?access_token=${reader.token}`;
      const [deaf, hearing] = [new WebSocket(url, { autoPong: false }), new WebSocket(url)];
      let pings = 0;
      hearing.on('ping', () => {
        pings += 1;
      });
      const [code] = await once(deaf, 'close');
      expect(code).toBe(1006);
      await eventually(() => pings >= 3);
      expect(hearing.readyState).toBe(WebSocket.OPEN);
      const closed = once(hearing, 'close');
      await streams.drain();
      expect((await closed)[0]).toBe(closeCodes.goingAway);
    } finally {
      server.close();
    }
  });

  test('works in one process without Redis', async () => {
    const alone = await startTestShop('notif_alone', { REDIS_URL: '' });
    try {
      const goods = await commerceOf(alone);
      const buyer = await alone.account('customer');
      const client = listen(`?access_token=${buyer.token}`, { url: alone.url });
      await client.ready();
      await goods.fill(buyer, { [await goods.product()]: 1 });
      await goods.checkOut(buyer);
      await eventually(() => expect(client.messages[1]?.notification?.title).toMatch(/was placed/));
      client.socket.close();
    } finally {
      await alone.stop();
    }
  });
});
