import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, test } from '@jest/globals';
import { connect } from '../rabbit.ts';
import { eventually } from '../testing/servers.ts';
import { startTcpProxy } from '../testing/tcp-proxy.ts';
import { type Consumer, type ConsumerOptions, consume, oneByOne } from './consumer.ts';
import { createDeadLetters } from './dead-letters.ts';
import type { Delivery, Outcome } from './delivery.ts';
import { partOf } from './part.ts';
import { publishAll, type RabbitFixture, rabbitFixture } from './testing/fixture.ts';
import { names } from './topology.ts';

let fixture: RabbitFixture;

afterEach(async () => {
  await fixture?.close();
});

type Kind = { order: 'none' | 'by key'; deliveryLimit?: number };

async function consumerOf(
  spec: Kind,
  handle: (delivery: Delivery) => Promise<Outcome>,
  more: Partial<ConsumerOptions> = {},
) {
  const name = fixture.named('shop');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], ...spec }] });
  return { name, consumer: await start(name, spec.order, handle, more) };
}

async function start(
  name: string,
  order: 'none' | 'by key',
  handle: (delivery: Delivery) => Promise<Outcome>,
  more: Partial<ConsumerOptions> = {},
): Promise<Consumer> {
  const { rabbit, exchange, log } = fixture;
  const consumer = consume({ rabbit, exchange, consumer: { name, order }, handle: oneByOne(handle), log, ...more });
  fixture.onClose(() => consumer.stop(2_000));
  await eventually(() => consumer.consuming());
  return consumer;
}

const data = (delivery: Delivery) => (JSON.parse(delivery.body.toString()) as { data: unknown }).data;
const keyed = (...keys: string[]) => keys.map((key) => ({ key }));

test('a message that a handler fails is tried again after 1 s with its history, and is then done', async () => {
  fixture = rabbitFixture('retry');
  const seen: Delivery[] = [];
  const { name } = await consumerOf({ order: 'none' }, async (delivery) => {
    seen.push(delivery);
    if (delivery.attempt === 1) throw new Error('the database is away');
    return 'done';
  });
  await publishAll(fixture, keyed('a'));
  await eventually(() => seen.length === 2);
  // Where it has waited meanwhile.
  expect(seen[1]?.headers['x-death']).toMatchObject([{ queue: `${name}.retry.1000`, reason: 'expired' }]);
  expect(seen[1]).toMatchObject({
    attempt: 2,
    routingKey: 'shop.thing.changed',
    messageId: 'source/1',
    key: 'a',
    history: [{ attempt: 1, outcome: 'retry', reason: 'Error: the database is away' }],
  });
  expect(await createDeadLetters(fixture.rabbit).count(name)).toBe(0);
});

test('a message left for later comes when its time is near, as the attempt that it was, however long others wait', async () => {
  fixture = rabbitFixture('later');
  const name = fixture.named('shop');
  const delaysMs = [100, 400, 60_000] as const;
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none', delaysMs }] });
  const dueMs = new Map<string, number>();
  const seen: { key: string; attempt: number; routingKey: string }[] = [];
  const done: string[] = [];
  const { rabbit, exchange, log } = fixture;
  const consumer = consume({
    rabbit,
    exchange,
    consumer: { name, order: 'none', delaysMs },
    handle: oneByOne(async ({ key, attempt, routingKey }) => {
      const due = dueMs.get(key) ?? Date.now() + Number(key);
      dueMs.set(key, due);
      seen.push({ key, attempt, routingKey });
      if (Date.now() < due) return { outcome: 'later', afterMs: due - Date.now() };
      done.push(key);
      return 'done';
    }),
    log,
  });
  fixture.onClose(() => consumer.stop(2_000));
  await publishAll(fixture, keyed('120000', '900', '0', '150'));
  await eventually(() => done.length === 3);
  expect(done).toEqual(['0', '150', '900']);
  expect(new Set(seen.map(({ attempt }) => attempt))).toEqual(new Set([1]));
  expect(new Set(seen.map(({ routingKey }) => routingKey))).toEqual(new Set(['shop.thing.changed']));
  const channel = await rabbit.channel();
  expect(await channel.checkQueue(`${name}.delay.60000`)).toMatchObject({ messageCount: 1 });
});

test('a message left for later where there is no queue for that is a dead letter, not lost', async () => {
  fixture = rabbitFixture('never');
  const { name } = await consumerOf({ order: 'none' }, async () => ({ outcome: 'later', afterMs: 1 }));
  await publishAll(fixture, keyed('a'));
  await eventually(async () => (await createDeadLetters(fixture.rabbit).count(name)) === 1);
});

const endings: [string, (name: string, consumer: Consumer) => Promise<unknown>][] = [
  [
    'one of its queues is taken away',
    async (name, consumer) => {
      const channel = await fixture.rabbit.channel();
      await channel.deleteQueue(`${name}.p00`);
      await channel.close();
      await eventually(() => !consumer.consuming());
    },
  ],
  ['it is stopped', (_, consumer) => consumer.stop(0)],
];

test.each(endings)('when %s, what is in hand and ends in any moment of that breaks nothing', async (_, happen) => {
  fixture = rabbitFixture('ending');
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  try {
    const inHand: (() => void)[] = [];
    const handle = () => new Promise<Outcome>((resolve) => inHand.push(() => resolve('done')));
    const { name, consumer } = await consumerOf({ order: 'by key' }, handle, { concurrency: 1_000, prefetch: 1_000 });
    const elsewhere = Array.from({ length: 1_000 }, (_, n) => `k${n}`).filter((key) => partOf('thing', key) !== 0);
    await publishAll(fixture, keyed(...elsewhere));
    await eventually(() => inHand.length === elsewhere.length);
    let over = false;
    const happened = happen(name, consumer).then(() => {
      over = true;
    });
    while (!over) {
      inHand.pop()?.();
      await nextTurn();
    }
    await happened;
    await nextTurn();
    expect(unhandled).toEqual([]);
    for (const end of inHand) end();
  } finally {
    process.off('unhandledRejection', note);
  }
});

test('poison goes to the dead letters at once, with its reason, and blocks nobody', async () => {
  fixture = rabbitFixture('poison');
  const done: unknown[] = [];
  const { name } = await consumerOf({ order: 'none' }, async (delivery) => {
    if (data(delivery) === 1) return { outcome: 'poison', reason: 'no such product' };
    done.push(data(delivery));
    return 'done';
  });
  await publishAll(fixture, keyed('a', 'a', 'a'));
  const letters = createDeadLetters(fixture.rabbit);
  await eventually(async () => (await letters.count(name)) === 1);
  await eventually(() => done.length === 2);
  const [letter] = await letters.list(name, 10);
  expect(letter).toMatchObject({
    messageId: 'source/2',
    routingKey: 'shop.thing.changed',
    queue: name,
    reason: 'no such product',
    history: [{ attempt: 1, outcome: 'poison', reason: 'no such product' }],
  });
});

describe('with order by key', () => {
  test('a message that is tried again holds back its key and no other, however its part is shared', async () => {
    fixture = rabbitFixture('order');
    const done: string[] = [];
    let failures = 0;
    await consumerOf(
      { order: 'by key' },
      async (delivery) => {
        if (delivery.key === 'slow' && data(delivery) === 0 && delivery.attempt < 3) {
          failures += 1;
          throw new Error('not yet');
        }
        done.push(`${delivery.key}:${data(delivery)}`);
        return 'done';
      },
      { retryDelaysMs: [50, 100, 200] },
    );
    const others = Array.from({ length: 40 }, (_, n) => `k${n}`);
    await publishAll(fixture, keyed('slow', ...others, 'slow', ...others, 'slow'));
    await eventually(() => done.length === 83);
    expect(failures).toBe(2);
    expect(done.filter((each) => each.startsWith('slow'))).toEqual(['slow:0', 'slow:41', 'slow:82']);
    const expected = others.flatMap((key, n) => [`${key}:${n + 1}`, `${key}:${n + 42}`]);
    expect(done.filter((each) => !each.startsWith('slow')).sort()).toEqual(expected.sort());
  });

  test('after the last try it is dead-lettered, and its key goes on; replayed, it comes from the same queue', async () => {
    fixture = rabbitFixture('giveup');
    const done: unknown[] = [];
    const attempts: number[] = [];
    let broken = true;
    const { name } = await consumerOf(
      { order: 'by key' },
      async (delivery) => {
        if (data(delivery) === 0) attempts.push(delivery.attempt);
        if (data(delivery) === 0 && broken) return 'retry';
        done.push(data(delivery));
        return 'done';
      },
      { retryDelaysMs: [10, 20, 40] },
    );
    await publishAll(fixture, keyed('a', 'a'));
    await eventually(() => done.length === 1);
    expect(attempts).toEqual([1, 2, 3, 4]);
    const letters = createDeadLetters(fixture.rabbit);
    const [letter] = await eventually(async () => {
      const all = await letters.list(name, 10);
      return all.length === 1 && all;
    });
    expect(letter?.history.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    expect(letter?.queue).toMatch(/\.p\d\d$/);
    broken = false;
    expect(await letters.replay(name, 'all')).toBe(1);
    await eventually(() => done.length === 2);
    expect(done).toEqual([1, 0]);
    expect(attempts).toEqual([1, 2, 3, 4, 1]);
  });

  test('two processes take turns, not messages: the second begins where the first has stopped', async () => {
    fixture = rabbitFixture('standby');
    const done: string[] = [];
    const by = (who: string) => async (delivery: Delivery) => {
      done.push(`${who}${data(delivery)}`);
      return 'done' as const;
    };
    const { name, consumer: first } = await consumerOf({ order: 'by key' }, by('first'));
    await start(name, 'by key', by('second'));
    await publishAll(fixture, keyed('a', 'a', 'a'));
    await eventually(() => done.length === 3);
    await first.stop(1_000);
    await publishAll(fixture, keyed('a', 'a', 'a'));
    await eventually(() => done.length === 6);
    expect(done).toEqual(['first0', 'first1', 'first2', 'second0', 'second1', 'second2']);
  });
});

test('a batch holds several messages of a key in order, and is as large as it may be', async () => {
  fixture = rabbitFixture('batch');
  const batches: number[] = [];
  const perKey = new Map<string, unknown[]>();
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const name = fixture.named('shop');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'by key' }] });
  const { rabbit, exchange, log } = fixture;
  const consumer = consume({
    rabbit,
    exchange,
    consumer: { name, order: 'by key' },
    maxBatch: 20,
    log,
    async handle(batch) {
      await gate;
      batches.push(batch.length);
      for (const delivery of batch) perKey.set(delivery.key, [...(perKey.get(delivery.key) ?? []), data(delivery)]);
      return batch.map(() => 'done');
    },
  });
  fixture.onClose(() => consumer.stop(2_000));
  await publishAll(
    fixture,
    Array.from({ length: 100 }, (_, n) => ({ key: n % 2 === 0 ? 'a' : 'b' })),
  );
  // All have been handed out: what is not in hand waits in the consumer.
  const witness = await rabbit.channel();
  for (const key of ['a', 'b']) {
    const queue = names.partQueue(name, partOf('thing', key));
    await eventually(async () => (await witness.checkQueue(queue)).messageCount === 0);
  }
  open();
  await eventually(() => batches.reduce((a, b) => a + b, 0) === 100);
  expect(Math.max(...batches)).toBeGreaterThan(1);
  expect(Math.max(...batches)).toBeLessThanOrEqual(20);
  for (const [key, seen] of perKey) {
    expect(seen).toEqual(Array.from({ length: 50 }, (_, n) => 2 * n + (key === 'a' ? 0 : 1)));
  }
});

test('a consumer whose connection is cut goes on, and nothing is missing or out of order', async () => {
  fixture = rabbitFixture('cut');
  const proxy = await startTcpProxy(fixture.rabbitmqUrl);
  const rabbit = connect({ url: proxy.url, log: fixture.log });
  const perKey = new Map<string, number[]>();
  const name = fixture.named('shop');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'by key' }] });
  const consumer = await start(
    name,
    'by key',
    async (delivery) => {
      const seen = perKey.get(delivery.key) ?? [];
      // As an inbox would: what has been done is not done again.
      if (!seen.includes(Number(data(delivery)))) perKey.set(delivery.key, [...seen, Number(data(delivery))]);
      return 'done';
    },
    { rabbit },
  );
  fixture.onClose(async () => {
    await consumer.stop(1_000);
    await rabbit.close();
    await proxy.close();
  });
  const messages = Array.from({ length: 600 }, (_, n) => ({ key: `k${n % 7}` }));
  const published = publishAll(fixture, messages);
  const total = () => [...perKey.values()].reduce((sum, seen) => sum + seen.length, 0);
  for (const at of [50, 200, 400]) {
    await eventually(() => total() >= at);
    proxy.cut();
  }
  await published;
  await eventually(() => total() === 600);
  for (const seen of perKey.values()) expect(seen).toEqual([...seen].sort((a, b) => a - b));
});

describe('dead letters', () => {
  test('are shown, replayed and dropped one by one or all, and keep their order', async () => {
    fixture = rabbitFixture('letters');
    let mode: 'refuse' | 'take' = 'refuse';
    const done: unknown[] = [];
    const { name } = await consumerOf({ order: 'none' }, async (delivery) => {
      if (mode === 'refuse') return 'poison';
      expect(Object.keys(delivery.headers).filter((header) => /death|reason|history|attempt/.test(header))).toEqual([]);
      done.push(data(delivery));
      return 'done';
    });
    await publishAll(fixture, keyed('a', 'b', 'c', 'd', 'e', 'f'));
    const letters = createDeadLetters(fixture.rabbit);
    await eventually(async () => (await letters.count(name)) === 6);
    const ids = async () => (await letters.list(name, 10)).map(({ messageId }) => messageId);
    // Looking changes nothing, however often.
    for (let n = 0; n < 25; n += 1)
      expect((await letters.list(name, 2)).map((each) => data(each as never))).toEqual([0, 1]);
    expect(await letters.show(name, 'source/4')).toMatchObject({ body: expect.stringContaining('"data":3') });
    expect(await letters.show(name, 'source/99')).toBeUndefined();
    expect(await letters.drop(name, { messageIds: ['source/2'] })).toBe(1);
    expect(await ids()).toEqual([1, 3, 4, 5, 6].map((id) => `source/${id}`));
    mode = 'take';
    expect(await letters.replay(name, { messageIds: ['source/5'] })).toBe(1);
    await eventually(() => done.length === 1);
    expect(await letters.replay(name, 'all')).toBe(4);
    await eventually(() => done.length === 5);
    expect(done).toEqual([4, 0, 2, 3, 5]);
    expect(await letters.count(name)).toBe(0);
  });

  test('include what the broker gave up because its consumers died of it', async () => {
    fixture = rabbitFixture('limit');
    const name = fixture.named('shop');
    await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none', deliveryLimit: 2 }] });
    await publishAll(fixture, keyed('deadly'));
    for (let n = 0; n < 3; n += 1) {
      const channel = await fixture.rabbit.channel();
      await eventually(() => channel.get(name));
      // As when the process dies: the message goes back unanswered.
      await channel.close();
    }
    const letters = createDeadLetters(fixture.rabbit);
    await eventually(async () => (await letters.count(name)) === 1);
    const [letter] = await letters.list(name, 1);
    expect(letter).toMatchObject({ reason: 'delivery_limit', queue: name, routingKey: 'shop.thing.changed' });
    const seen: Delivery[] = [];
    await start(name, 'none', async (delivery) => {
      seen.push(delivery);
      return 'done';
    });
    expect(await letters.replay(name, 'all')).toBe(1);
    await eventually(() => seen.length === 1);
    expect(seen[0]).toMatchObject({ attempt: 1, routingKey: 'shop.thing.changed' });
  });
});
