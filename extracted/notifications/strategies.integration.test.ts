import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createDeadLetters } from '@strangler/platform/outbox/dead-letters.ts';
import {
  declareAll,
  declareTopology,
  deleteDeclared,
  deleteTopology,
  TopologyMismatch,
} from '@strangler/platform/outbox/declare.ts';
import { partOf } from '@strangler/platform/outbox/part.ts';
import { names } from '@strangler/platform/outbox/topology.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { Registry } from 'prom-client';
import { systemClock } from './clock.ts';
import { consumeEvents, createHandleEvent } from './events/event-consumer.ts';
import { replayEvents } from './events/replay.ts';
import { type Command, consumeCommands, createCommands } from './exchanges/commands.ts';
import { createPublisher } from './exchanges/publisher.ts';
import { eventTopology, own, ownTopology } from './exchanges/topology.ts';
import { type Instance, startTestService, type TestService } from './testing/notifications.ts';
import { shopEvents as events, leftToService as mark } from './testing/shop-events.ts';

let service: TestService;
let second: Instance;
let account = 700;
let token: string;

beforeAll(async () => {
  service = await startTestService('strategies', { MAIL_DELAY: '1s', WORKER_CONCURRENCY: '2' });
  const stream = {};
  await declareTopology(service.rabbit, { exchange: service.exchange, consumers: [], stream });
  second = await service.another();
});
afterAll(async () => {
  const { rabbit, exchange } = service ?? {};
  if (rabbit && exchange) await deleteTopology(rabbit, { exchange, consumers: [], stream: {} });
  await service?.stop();
});
beforeEach(async () => {
  account += 1;
  token = await service.issuer.token(account);
  service.mail.mailbox.clear();
  await service.tell(events.registered(account));
});

const items = async (of = token): Promise<{ id: number; order_id: number; kind: string }[]> =>
  (await service.send('GET', '/api/notifications?limit=100', { token: of })).body.items;
const mails = (of = account) => service.mail.mailbox.list(`customer-${of}@example.com`);
const ready = async (queue: string) => {
  const channel = await service.rabbit.channel();
  const { messageCount } = await channel.checkQueue(queue);
  await channel.close();
  return messageCount;
};

const restMs = 400;

/** A second set of exchanges and queues, on the same broker, that no instance listens to; `apart` removes it. */
async function aside(label: string): Promise<{ prefix: string; exchange: string; apart(): Promise<void> }> {
  const prefix = `${service.prefix.slice(0, 24)}.${label}`;
  const exchange = `${prefix}.outbox`;
  await declareTopology(service.rabbit, eventTopology(exchange, prefix));
  await declareAll(service.rabbit, ownTopology(prefix, restMs));
  return {
    prefix,
    exchange,
    async apart() {
      await deleteDeclared(service.rabbit, ownTopology(prefix));
      await deleteTopology(service.rabbit, eventTopology(exchange, prefix));
    },
  };
}

describe('an event', () => {
  test('whose consumer is killed between its effect and its acknowledgement comes again and has no second effect', async () => {
    const { prefix, exchange, apart } = await aside('k');
    const child = spawn(process.execPath, [fileURLToPath(new URL('./testing/deadly-consumer.ts', import.meta.url))], {
      env: {
        ...programEnvironment(),
        ...service.env,
        OUTBOX_EXCHANGE: exchange,
        QUEUE_PREFIX: prefix,
      } as NodeJS.ProcessEnv,
      stdio: 'ignore',
    });
    const died = once(child, 'exit');
    await service.tell(events.placed(account * 10, account, { mark, exchange }));
    const [, signal] = await died;
    expect(signal).toBe('SIGKILL');
    expect((await items()).map(({ order_id }) => order_id)).toEqual([account * 10]);

    // Somebody else takes what was never acknowledged.
    let outcome: string | undefined;
    const handle = createHandleEvent({
      ...{ pool: service.pool, clock: systemClock, mailDelayMs: 0, registry: new Registry() },
      dispatch: async () => {},
      wake: () => {},
    });
    const consumer = consumeEvents({
      ...{ rabbit: service.rabbit, outboxExchange: exchange, consumer: prefix, prefetch: 10, log: service.log },
      handle: async (one) => {
        outcome = await handle(one);
        return 'handled before';
      },
      metrics: new Registry(),
    });
    await eventually(() => outcome !== undefined);
    expect(outcome).toBe('handled before');
    expect((await items()).map(({ order_id }) => order_id)).toEqual([account * 10]);
    await consumer.stop(1_000);
    await apart();
  });

  test('of one order comes after those before it, however many consumers compete and whatever comes between', async () => {
    const orders = Array.from({ length: 8 }, (_, n) => account * 100 + n);
    const story = [
      (order: number) => events.placed(order, account, { mark }),
      (order: number) => events.payment('settled', order, account, { mark }),
      (order: number) => events.order('shipped', order, account, { mark }),
    ];
    for (const next of story) await Promise.all(orders.map((order) => service.tell(next(order))));
    const all = await eventually(async () => {
      const found = await items();
      return found.length === 24 && found.reverse();
    });
    for (const order of orders) {
      const kinds = all.filter(({ order_id }) => order_id === order).map(({ kind }) => kind);
      expect({ order, kinds }).toEqual({ order, kinds: ['order_placed', 'payment_settled', 'order_shipped'] });
    }
    // Each has its mail, once, whichever of the two instances sent it.
    await eventually(() => mails().length === 24);
    expect(new Set(mails().map(({ messageId }) => messageId)).size).toBe(24);
    const sentBy = async ({ metrics }: Instance) => {
      const text = await metrics.getSingleMetricAsString('notifications_job_attempts_total');
      return Number(/kind="email",outcome="done"[^}]*\} (\d+)/.exec(text)?.[1] ?? 0);
    };
    const sent = await Promise.all([sentBy(service), sentBy(second)]);
    expect(Math.min(...sent)).toBeGreaterThan(0);
  });

  test('that cannot be read is a dead letter with its reason, and holds nobody up', async () => {
    const { data, ...broken } = events.order('shipped', account * 10, account, { mark });
    await service.tell({ ...broken, data: { ...data, currency: 'euro' } });
    await service.tell(events.order('shipped', account * 10, account, { mark }));
    await eventually(async () => (await items()).length === 1);
    const letters = createDeadLetters(service.rabbit);
    const [letter] = await eventually(async () => {
      const found = await letters.list(service.prefix, 10);
      return found.length === 1 && found;
    });
    expect(letter?.reason).toMatch(/order\.shipped: currency/);
    expect(await letters.drop(service.prefix, 'all')).toBe(1);
  });

  test('of a time before the service listened is written when the stream is replayed, and has no effect a second time', async () => {
    const id = await service.tell(events.placed(account * 10, account));
    await eventually(async () => (await items()).length === 1);
    // As in the database of one that never heard of it.
    await service.pool.query('DELETE FROM notifications WHERE account_id = ?', [account]);
    await service.pool.query('DELETE FROM strangler_inbox WHERE message_id = ?', [id]);
    const registry = new Registry();
    const handle = createHandleEvent({
      ...{ pool: service.pool, clock: systemClock, mailDelayMs: 0, registry },
      dispatch: async () => {},
      wake: () => {},
    });
    const only: typeof handle = async (event) => {
      const { meaning } = event;
      return meaning.kind === 'happening' && meaning.happening.accountId === account ? handle(event) : 'handled before';
    };
    const { rabbit, exchange: outboxExchange, log } = service;
    const replay = () => replayEvents({ rabbit, outboxExchange, from: 'first', handle: only, idleMs: 800, log });
    expect(await replay()).toMatchObject({ handled: 1 });
    expect((await items()).map(({ order_id }) => order_id)).toEqual([account * 10]);
    expect(await replay()).toMatchObject({ handled: 0 });
  });
});

describe('a mail', () => {
  test('that waits is not sent before its time, and not at all when its notification is read meanwhile', async () => {
    const toldAt = Date.now();
    await service.tell(events.placed(account * 10, account, { mark }));
    await service.tell(events.order('shipped', account * 10, account, { mark }));
    const [shipped] = await eventually(async () => {
      const found = await items();
      return found.length === 2 && found;
    });
    await service.send('POST', `/api/notifications/${shipped!.id}/read`, { token });
    await eventually(async () => {
      const job = await service.send('GET', `/api/notifications/jobs/email-${shipped!.id}`, { token });
      expect(job.body).toMatchObject({ state: 'done', result: 'read before' });
    });
    await eventually(() => mails().length === 1);
    expect(mails()[0]).toMatchObject({ subject: `Order ${account * 10} was placed` });
    expect(mails()[0]!.receivedAt.getTime() - toldAt).toBeGreaterThanOrEqual(1_000);
  });

  test('whose delivery died is sent when its dead letter is replayed', async () => {
    const publisher = createPublisher({ rabbit: service.rabbit, log: service.log });
    const queue = own.deliveryQueue(service.prefix, 'email', 'en');
    await service.tell(events.placed(account * 10, account));
    const [{ id } = { id: 0 }] = await eventually(async () => {
      const found = await items();
      return found.length === 1 && found;
    });
    const [exchange, routingKey] = [own.deliveries(service.prefix), ''];
    const headers = { channel: 'email', locale: 'en' };
    await publisher.publish({ exchange, routingKey, body: { job: `email-${id}` }, messageId: 'early', headers });
    const letters = createDeadLetters(service.rabbit);
    const [letter] = await eventually(async () => {
      const found = await letters.list(queue, 10);
      return found.length === 1 && found;
    });
    expect(letter).toMatchObject({ messageId: 'early', reason: `there is no job email-${id}` });
    await service.pool.query(
      `INSERT INTO jobs (id, kind, account_id, notification_id, state, priority, run_at, created_at)
       VALUES (?, 'email', ?, ?, 'pending', 5, NOW(3), NOW(3))`,
      [`email-${id}`, account, id],
    );
    expect(await letters.replay(queue, 'all')).toBe(1);
    await eventually(() => mails().length === 1);
    await publisher.close();
  });
});

test('what rests comes back when its time is over, by its headers, to the queue of its channel and language alone', async () => {
  const { prefix, apart } = await aside('r');
  const publisher = createPublisher({ rabbit: service.rabbit, log: service.log });
  const headers = { channel: 'email', locale: 'de' };
  const restedAt = performance.now();
  const routingKey = own.restQueue(prefix);
  await publisher.publish({ exchange: '', routingKey, body: { job: 'email-1' }, messageId: 'rests', headers });
  const german = own.deliveryQueue(prefix, 'email', 'de');
  expect(await ready(german)).toBe(0);
  await eventually(async () => (await ready(german)) === 1);
  expect(performance.now() - restedAt).toBeGreaterThanOrEqual(restMs);
  for (const other of [
    own.deliveryQueue(prefix, 'email', 'en'),
    own.deliveryQueue(prefix, 'digest', 'de'),
    routingKey,
  ]) {
    expect({ other, waiting: await ready(other) }).toEqual({ other, waiting: 0 });
  }
  // One that nobody would take is not lost: whoever publishes is told.
  const nobodys = { exchange: own.deliveries(prefix), routingKey: '', body: {}, messageId: 'lost' };
  await expect(publisher.publish({ ...nobodys, headers: { channel: 'email', locale: 'xx' } })).rejects.toThrow(
    /no queue takes/,
  );
  await publisher.close();
  await apart();
});

test('a command that is wanted now overtakes those that stand in line', async () => {
  const { prefix, apart } = await aside('p');
  const publisher = createPublisher({ rabbit: service.rabbit, log: service.log });
  const commands = createCommands({ publisher, prefix });
  for (let day = 1; day <= 5; day += 1) {
    await commands.give('digest', { do: 'digests', day: `2026-01-0${day}` }, 'bySchedule');
  }
  await commands.give('digest', { do: 'retry', job: 'digest-1' }, 'byHand');
  const obeyed: Command[] = [];
  const consumer = consumeCommands({
    ...{ rabbit: service.rabbit, prefix, kinds: ['digest'], log: service.log, metrics: new Registry() },
    obey: async (_kind, command) => void obeyed.push(command),
  });
  await eventually(() => obeyed.length === 6);
  expect(obeyed[0]).toEqual({ do: 'retry', job: 'digest-1' });
  expect(obeyed.slice(1).map((command) => 'day' in command && command.day)).toEqual(
    [1, 2, 3, 4, 5].map((day) => `2026-01-0${day}`),
  );
  await consumer.stop(1_000);
  await publisher.close();
  await apart();
});

test('a slow consumer is given no more than it may have in hand; the rest waits in RabbitMQ', async () => {
  const { prefix, exchange, apart } = await aside('s');
  let open: () => void = () => {};
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  let begun = 0;
  let done = 0;
  const consumer = consumeEvents({
    ...{ rabbit: service.rabbit, outboxExchange: exchange, consumer: prefix, prefetch: 3, log: service.log },
    metrics: new Registry(),
    async handle() {
      begun += 1;
      await gate;
      done += 1;
      return 'handled';
    },
  });
  await eventually(() => consumer.consuming());
  for (let n = 0; n < 20; n += 1) await service.tell(events.order('shipped', account * 10, account, { exchange }));
  const queue = names.partQueue(prefix, partOf('order', String(account * 10)));
  await eventually(async () => (await ready(queue)) === 17);
  expect([begun, done]).toEqual([1, 0]);
  open();
  await eventually(() => done === 20);
  await consumer.stop(1_000);
  await apart();
});

test('exchanges and queues are declared again without a word, and one that is another is named with what to do', async () => {
  const { prefix } = service;
  await declareAll(service.rabbit, ownTopology(prefix));
  const wrong = ownTopology(prefix).map((one) =>
    one.kind === 'exchange' && one.name === own.settings(prefix) ? { ...one, type: 'topic' as const } : one,
  );
  const failed = declareAll(service.rabbit, wrong);
  await expect(failed).rejects.toBeInstanceOf(TopologyMismatch);
  await expect(failed).rejects.toThrow(/exchange .*\.settings: type: expected topic, found fanout; delete it/);
});
