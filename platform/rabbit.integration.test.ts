import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { connect, RabbitAway, type RabbitConnection, type RabbitOptions } from './rabbit.ts';
import { eventually } from './testing/eventually.ts';
import { testServers } from './testing/servers.ts';
import { startTcpProxy } from './testing/tcp-proxy.ts';

const { rabbitmqUrl } = testServers();
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function open(options: Partial<RabbitOptions> = {}): RabbitConnection {
  const rabbit = connect({ url: rabbitmqUrl, log: pino({ level: 'silent' }), ...options });
  closers.push(() => rabbit.close());
  return rabbit;
}

async function behindProxy() {
  const proxy = await startTcpProxy(rabbitmqUrl);
  closers.push(() => proxy.close());
  return proxy;
}

/** A consumer of a queue of its own that comes back with the connection. */
function consume(rabbit: RabbitConnection) {
  const queue = `test-${randomUUID()}`;
  const heard: string[] = [];
  let setUps = 0;
  rabbit.onConnected(async (connection) => {
    const channel = await connection.channel();
    await channel.assertQueue(queue, { autoDelete: false, expires: 60_000 });
    await channel.consume(queue, (message) => {
      if (!message) return;
      heard.push(message.content.toString());
      channel.ack(message);
    });
    setUps += 1;
  });
  return { queue, heard, setUps: () => setUps };
}

test('what is published with a confirm is consumed', async () => {
  const rabbit = open();
  const { queue, heard, setUps } = consume(rabbit);
  await eventually(() => setUps() === 1);
  expect(rabbit.ready()).toBe(true);
  const channel = await rabbit.confirmChannel();
  channel.sendToQueue(queue, Buffer.from('a'));
  await channel.waitForConfirms();
  await eventually(() => heard.includes('a'));
});

describe('a lost connection', () => {
  test('is made again, and its consumers with it, so that nothing stays in the queue', async () => {
    const proxy = await behindProxy();
    const rabbit = open({ url: proxy.url });
    const { queue, heard, setUps } = consume(rabbit);
    const channel = await open().confirmChannel();
    await eventually(() => setUps() === 1);
    await proxy.refuse();
    await eventually(() => !rabbit.ready());
    channel.sendToQueue(queue, Buffer.from('while away'));
    await channel.waitForConfirms();
    await proxy.pass();
    await eventually(() => setUps() === 2 && heard.includes('while away'));
    expect(rabbit.ready()).toBe(true);
  });

  test('that comes and goes leaves one consumer, not one a connection', async () => {
    const proxy = await behindProxy();
    const rabbit = open({ url: proxy.url });
    const { queue, setUps } = consume(rabbit);
    for (let round = 1; round <= 5; round += 1) {
      await eventually(() => rabbit.ready());
      // Some of these meet the set-up half-way.
      if (round % 2 === 0) await eventually(() => setUps() >= 1);
      proxy.cut();
      await eventually(() => !rabbit.ready());
    }
    const witness = await open().channel();
    const before = setUps();
    await eventually(() => setUps() > before || rabbit.ready());
    await eventually(async () => (await witness.checkQueue(queue)).consumerCount === 1);
    await rabbit.confirmChannel();
    expect((await witness.checkQueue(queue)).consumerCount).toBe(1);
  });

  test('fails the confirm that was awaited on it', async () => {
    const proxy = await behindProxy();
    const rabbit = open({ url: proxy.url });
    const { queue, setUps } = consume(rabbit);
    await eventually(() => setUps() === 1);
    const channel = await rabbit.confirmChannel();
    proxy.holdAnswers();
    channel.sendToQueue(queue, Buffer.from('unconfirmed'));
    const confirmed = channel.waitForConfirms();
    confirmed.catch(() => {});
    proxy.cut();
    await expect(confirmed).rejects.toThrow();
  });

  test('that died without a word is noticed by its missing heartbeats', async () => {
    const proxy = await behindProxy();
    const rabbit = open({ url: proxy.url, heartbeatS: 1 });
    await eventually(() => rabbit.ready());
    await proxy.stall();
    await eventually(() => !rabbit.ready());
    await proxy.pass();
    await eventually(() => rabbit.ready());
  });
});

describe('RabbitMQ that is away', () => {
  test('does not keep a process from starting; a channel is refused when the time is over, and had when it comes', async () => {
    const proxy = await behindProxy();
    await proxy.refuse();
    const rabbit = open({ url: proxy.url, channelTimeoutMs: 50 });
    expect(rabbit.ready()).toBe(false);
    await expect(rabbit.channel()).rejects.toBeInstanceOf(RabbitAway);
    await proxy.pass();
    await eventually(() => rabbit.ready());
    await eventually(() => rabbit.channel());
  });

  test('and is closed stays closed, and ends at once', async () => {
    const proxy = await behindProxy();
    await proxy.refuse();
    const rabbit = open({ url: proxy.url, channelTimeoutMs: 50 });
    await rabbit.close();
    await rabbit.close();
    await proxy.pass();
    await expect(rabbit.channel()).rejects.toThrow();
    expect(rabbit.ready()).toBe(false);
    expect(proxy.connections()).toBe(0);
  });
});

test('a channel that the broker closes ends alone: neither the process nor the other channels', async () => {
  const rabbit = open();
  const [bad, good] = [await rabbit.channel(), await rabbit.channel()];
  await expect(bad.checkQueue(`none-${randomUUID()}`)).rejects.toThrow(/NOT_FOUND/);
  const { queue } = await good.assertQueue('', { exclusive: true });
  await expect(good.checkQueue(queue)).resolves.toMatchObject({ queue });
});

test('a consumer whose set-up fails is set up again', async () => {
  const rabbit = open();
  let tries = 0;
  rabbit.onConnected(() => {
    tries += 1;
    if (tries < 3) throw new Error('not yet');
  });
  await eventually(() => tries === 3);
});

test('an address of another kind is refused, and its password is not repeated', () => {
  expect(() => open({ url: 'http://user:secret@127.0.0.1:1' })).toThrow(/expected amqp:/);
  expect(() => open({ url: 'http://user:secret@127.0.0.1:1' })).not.toThrow(/secret/);
});
