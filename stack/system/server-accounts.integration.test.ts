import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cancellationsConsumer } from '@strangler/inventory/cancellations/cancellation-consumer.ts';
import { expiryTopology } from '@strangler/inventory/expiry/expiry-consumer.ts';
import { productNewsTopology } from '@strangler/inventory/products/product-news.ts';
import { createLog } from '@strangler/platform/log.ts';
import { consume, oneByOne } from '@strangler/platform/outbox/consumer.ts';
import { declareAll, declareTopology } from '@strangler/platform/outbox/declare.ts';
import { type Declaration, declarations } from '@strangler/platform/outbox/topology.ts';
import { connect, type RabbitConnection } from '@strangler/platform/rabbit.ts';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import type { ConfirmChannel } from 'amqplib';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { prepareBroker, type SystemBroker } from './broker.ts';
import { type BrokerAccount, brokerAccounts, declaredBy, sharedTopologies } from './broker-accounts.ts';
import { giveRedisAccounts, type RedisAccount, redisAccounts } from './redis-accounts.ts';

const prefix = `t-${randomBytes(5).toString('hex')}`;
const log = createLog({ name: 'test', level: 'silent' });
const isExchange = ({ kind }: Declaration): boolean => kind === 'exchange';

describe('accounts at RabbitMQ', () => {
  let broker: SystemBroker;
  const open: RabbitConnection[] = [];
  const as = (account: BrokerAccount): RabbitConnection => {
    const rabbit = connect({ url: broker.accounts[account], log });
    open.push(rabbit);
    return rabbit;
  };

  beforeAll(async () => {
    broker = await prepareBroker(testServers(), { fresh: true, prefix });
  });
  afterAll(async () => {
    for (const rabbit of open) await rabbit.close();
    const { rabbitmqUrl, rabbitmqManagementUrl } = testServers();
    const { username, password } = new URL(rabbitmqUrl);
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    const paths = [`vhosts/${prefix}-1`, ...brokerAccounts.map((account) => `users/${prefix}-${account}`)];
    for (const path of paths)
      await fetch(new URL(`/api/${path}`, rabbitmqManagementUrl), { method: 'DELETE', headers: { authorization } });
  });

  /** The refusal, where there is one, on a channel of its own. */
  const refused = async (rabbit: RabbitConnection, attempt: (channel: ConfirmChannel) => Promise<unknown>) => {
    const channel = await rabbit.confirmChannel();
    const ended = new Promise<string>((resolve) => channel.once('error', (error: Error) => resolve(error.message)));
    channel.on('error', () => {});
    try {
      await attempt(channel);
      await channel.close();
      return 'nothing was refused';
    } catch (error) {
      const { message } = error as Error;
      return /ACCESS_REFUSED/.test(message) ? message : await ended;
    }
  };
  const accessRefused = expect.stringContaining('ACCESS_REFUSED');

  test('let a service declare what is its own, read it, try again, and give up; and its relay publish to it', async () => {
    const inventory = as('inventory');
    const consumer = cancellationsConsumer('inventory.cancellations');
    for (const topology of [
      { exchange: 'outbox', consumers: [consumer] },
      expiryTopology('outbox', 'inventory.expiry'),
      productNewsTopology('outbox', 'inventory.products'),
    ])
      await declareTopology(inventory, topology);
    const heard: string[] = [];
    const consuming = consume({
      ...{ rabbit: inventory, exchange: 'outbox', consumer, log, retryDelaysMs: [1_000] },
      handle: oneByOne(async ({ messageId, attempt }) => {
        heard.push(`${messageId} ${attempt}`);
        if (messageId === 'poison') return { outcome: 'poison', reason: 'of the test' };
        return attempt === 1 ? 'retry' : 'done';
      }),
    });
    const relay = await as('orders_relay').confirmChannel();
    for (const messageId of ['again', 'poison'])
      relay.publish('outbox', 'shop.order.cancelled', Buffer.from('{}'), { messageId, mandatory: true });
    await relay.waitForConfirms();
    await eventually(() => expect(heard.sort()).toEqual(['again 1', 'again 2', 'poison 1']), { withinMs: 20_000 });
    await eventually(async () => {
      const channel = await inventory.channel();
      expect((await channel.checkQueue('inventory.cancellations.dead')).messageCount).toBe(1);
      await channel.close();
    });
    await consuming.stop(1_000);
  });

  test('let every service declare all that it declares, and the orders find the stream', async () => {
    for (const service of Object.keys(declaredBy) as (keyof typeof declaredBy)[])
      await declareAll(as(service), [
        ...sharedTopologies.flatMap(declarations).filter(isExchange),
        ...declaredBy[service](),
      ]);
    await declareTopology(as('orders'), { exchange: 'outbox', consumers: [], stream: {} });
    await declareTopology(as('payments_relay'), { exchange: 'outbox', consumers: [], stream: {} });
  }, 60_000);

  test('refuse a service what is another’s: its queues, its dead letters, events that it does not listen for, and to tell any', async () => {
    const payments = as('payments');
    await declareTopology(as('inventory'), {
      exchange: 'outbox',
      consumers: [cancellationsConsumer('inventory.cancellations')],
    });
    await declareTopology(payments, {
      exchange: 'outbox',
      consumers: [cancellationsConsumer('payments.cancellations')],
    });
    const attempts: Record<string, (channel: ConfirmChannel) => Promise<unknown>> = {
      'read a queue': (channel) => channel.get('inventory.cancellations'),
      'read dead letters': (channel) => channel.get('inventory.cancellations.dead'),
      'bind to dead letters': (channel) =>
        channel.bindQueue('payments.cancellations', 'outbox.dead', 'inventory.cancellations'),
      'empty a queue': (channel) => channel.purgeQueue('inventory.cancellations'),
      'delete a queue': (channel) => channel.deleteQueue('inventory.cancellations'),
      'delete the exchange': (channel) => channel.deleteExchange('outbox'),
      'hear everything': (channel) => channel.bindQueue('payments.cancellations', 'outbox', '#'),
      'hear of products': (channel) => channel.bindQueue('payments.cancellations', 'outbox', 'shop.product.created'),
      'read the stream': async (channel) => {
        await channel.prefetch(1);
        await channel.consume('outbox.stream', () => {}, { arguments: { 'x-stream-offset': 'first' } });
      },
      'tell of an order': async (channel) => {
        channel.publish('outbox', 'shop.order.cancelled', Buffer.from('{}'));
        await channel.waitForConfirms();
      },
      'make a queue': (channel) => channel.assertQueue('payments.mine'),
    };
    for (const [what, attempt] of Object.entries(attempts))
      expect([what, await refused(payments, attempt)]).toEqual([what, accessRefused]);
    // The orders alone make something of the stream.
    const orders = as('orders');
    expect(await refused(orders, (channel) => attempts['read the stream']!(channel))).toBe('nothing was refused');
  });

  test('let a relay publish, and nothing else; under no other slice’s name', async () => {
    const relay = as('inventory_relay');
    const publish = (key: string) => async (channel: ConfirmChannel) => {
      channel.publish('outbox', key, Buffer.from('{}'));
      await channel.waitForConfirms();
    };
    expect(await refused(relay, publish('inventory-reverse.stock_levels.update'))).toBe('nothing was refused');
    expect(await refused(relay, publish('payments.payments.update'))).toEqual(accessRefused);
    expect(await refused(relay, (channel) => channel.get('outbox.stream'))).toEqual(accessRefused);
  });
});

describe('accounts at Redis', () => {
  let urls: Record<RedisAccount, string>;
  const clients: { destroy(): void }[] = [];
  const as = async (account: RedisAccount) => {
    const client = createClient({ url: urls[account], socket: { reconnectStrategy: false } });
    client.on('error', () => {});
    clients.push(client);
    return client.connect();
  };

  beforeAll(async () => {
    urls = await giveRedisAccounts(testServers().redisUrl, { prefix, say: () => {} });
  });
  afterAll(async () => {
    for (const client of clients) client.destroy();
    const admin = createClient({ url: testServers().redisUrl });
    await admin.connect();
    await admin.sendCommand(['ACL', 'DELUSER', ...redisAccounts.map((account) => `${prefix}-${account}`)]);
    await admin.sendCommand(['ACL', 'SAVE']).catch(() => {});
    admin.destroy();
  });

  test('let each write and read under its own names, scripts and channels included', async () => {
    const catalog = await as('catalog');
    const key = `catalog:${prefix}`;
    await catalog.set(key, 'own', { PX: 10_000 });
    const script = "return redis.call('GET', KEYS[1])";
    expect(await catalog.eval(script, { keys: [key], arguments: [] })).toBe('own');
    await catalog.publish(`catalog:${prefix}`, 'heard by nobody');
    await catalog.del(key);
  });

  test('refuse what is another’s, and what reaches beyond an account', async () => {
    const notifications = await as('notifications');
    const key = `catalog:${prefix}`;
    const attempts: Record<string, () => Promise<unknown>> = {
      read: () => notifications.get(key),
      write: () => notifications.set(key, 'mine'),
      'read by a script': () => notifications.eval("return redis.call('GET', KEYS[1])", { keys: [key], arguments: [] }),
      'read by a script that hides it': () =>
        notifications.eval(`return redis.call('GET', '${key}')`, { keys: [], arguments: [] }),
      tell: () => notifications.publish(key, 'mine'),
      listen: () => notifications.sendCommand(['SUBSCRIBE', key]),
      'list keys': () => notifications.sendCommand(['KEYS', '*']),
      'go through keys': () => notifications.scan('0'),
      'empty all': () => notifications.flushAll(),
      'look at the settings': () => notifications.configGet('*'),
      'make an account': () => notifications.sendCommand(['ACL', 'SETUSER', `${prefix}-x`]),
      'see what others do': () => notifications.sendCommand(['MONITOR']),
    };
    for (const [what, attempt] of Object.entries(attempts)) {
      const outcome = await attempt().then(
        () => 'nothing was refused',
        (error: Error) => error.message,
      );
      expect([what, outcome]).toEqual([what, expect.stringMatching(/NOPERM|can't access|No permissions/)]);
    }
    const wrong = new URL(urls.catalog);
    wrong.password = 'wrong';
    const stranger = createClient({ url: wrong.href, socket: { reconnectStrategy: false } });
    stranger.on('error', () => {});
    await expect(stranger.connect()).rejects.toThrow(/WRONGPASS/);
  });

  test('are enough for the jobs of the notifications', async () => {
    const connection = new Redis(urls.notifications, { maxRetriesPerRequest: null });
    const at = { connection, prefix: `notifications:${prefix}` };
    const queue = new Queue('mail', at);
    const done: string[] = [];
    const worker = new Worker('mail', async (job) => void done.push(job.name), at);
    try {
      await queue.add('now', {}, { priority: 2 });
      await queue.add('later', {}, { delay: 100 });
      await queue.upsertJobScheduler('each', { every: 60_000 }, { name: 'scheduled' });
      await eventually(() => expect(done.sort()).toEqual(['later', 'now', 'scheduled']), { withinMs: 20_000 });
    } finally {
      await worker.close();
      await queue.obliterate({ force: true });
      await queue.close();
      connection.disconnect();
    }
  });
});
