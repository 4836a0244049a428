import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually } from '../testing/servers.ts';
import { declareTopology, TopologyMismatch } from './declare.ts';
import { partName, partOf } from './part.ts';
import { readStream, type StreamMessage } from './stream.ts';
import { publishAll, type RabbitFixture, rabbitFixture } from './testing/fixture.ts';
import { names } from './topology.ts';

let fixture: RabbitFixture;

afterEach(async () => {
  await fixture?.close();
});

test('declaring twice changes nothing and fails nothing', async () => {
  fixture = rabbitFixture('twice');
  const spec = {
    consumers: [
      { name: fixture.named('a'), patterns: ['shop.#'], order: 'none' as const },
      { name: fixture.named('b'), patterns: ['shop.#'], order: 'by key' as const },
    ],
    stream: {},
  };
  await fixture.declare(spec);
  await declareTopology(fixture.rabbit, { exchange: fixture.exchange, ...spec });
});

test('everything that is there and is something else is named, with what was expected, what is there and what to do', async () => {
  fixture = rabbitFixture('mismatch');
  const [a, b] = [fixture.named('a'), fixture.named('b')];
  const consumer = (name: string, maxLength: number) => ({ name, maxLength, patterns: ['#'], order: 'none' as const });
  await fixture.declare({ consumers: [consumer(a, 10), consumer(b, 10)] });
  const again = declareTopology(fixture.rabbit, {
    exchange: fixture.exchange,
    consumers: [consumer(a, 20), consumer(b, 10)],
  });
  const error = await again.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(TopologyMismatch);
  expect((error as TopologyMismatch).mismatches).toContainEqual({
    what: `queue ${a}`,
    argument: 'x-max-length',
    expected: '20',
    found: '10',
    todo: expect.stringContaining('delete it'),
  });
  expect((error as TopologyMismatch).message).not.toContain(`queue ${b}:`);
});

test('messages reach the queue of their part and no other', async () => {
  fixture = rabbitFixture('parts');
  const name = fixture.named('ordered');
  await fixture.declare({ consumers: [{ name, patterns: ['shop.thing.*'], order: 'by key' }] });
  const keys = Array.from({ length: 50 }, (_, n) => `key ${n}`);
  await publishAll(
    fixture,
    keys.map((key) => ({ key })),
  );
  const channel = await fixture.rabbit.channel();
  for (let part = 0; part < 16; part += 1) {
    const { messageCount } = await channel.checkQueue(`${name}.${partName(part)}`);
    expect(messageCount).toBe(keys.filter((key) => partOf('thing', key) === part).length);
  }
});

test('a queue for news drops the oldest when it is full, and refuses nobody', async () => {
  fixture = rabbitFixture('news');
  const name = fixture.named('news');
  await fixture.declare({
    consumers: [{ name, patterns: ['#'], order: 'none', maxLength: 3, whenFull: 'drop oldest' }],
  });
  await publishAll(
    fixture,
    Array.from({ length: 10 }, (_, n) => ({ key: `k${n}` })),
  );
  const channel = await fixture.rabbit.channel();
  await eventually(async () => expect((await channel.checkQueue(name)).messageCount).toBe(3));
  const oldest = await channel.get(name, { noAck: true });
  expect(oldest).toMatchObject({ properties: { headers: { 'x-strangler-key': 'k7' } } });
  expect((await channel.checkQueue(`${name}.dead`)).messageCount).toBe(0);
});

describe('the stream', () => {
  async function filled(count: number) {
    fixture = rabbitFixture('stream');
    await fixture.declare({ consumers: [], stream: {} });
    await publishAll(
      fixture,
      Array.from({ length: count }, (_, n) => ({ key: `k${n}` })),
    );
  }

  function read(from: Parameters<typeof readStream>[0]['from'], seen: StreamMessage[], failOnce?: number) {
    let failed = false;
    const { rabbit, exchange, log } = fixture;
    const reader = readStream({
      rabbit,
      queue: names.stream(exchange),
      from,
      log,
      async handle(message) {
        if (message.offset === failOnce && !failed) {
          failed = true;
          throw new Error('not now');
        }
        seen.push(message);
      },
    });
    fixture.onClose(() => reader.stop());
    return reader;
  }
  const offsets = (seen: StreamMessage[]) => seen.map(({ offset }) => offset);
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);

  test('is replayed from the first message, again and again, and goes on with what comes', async () => {
    await filled(300);
    for (let n = 0; n < 2; n += 1) {
      const seen: StreamMessage[] = [];
      read('first', seen);
      await eventually(() => seen.length === 300);
      expect(offsets(seen)).toEqual(range(0, 300));
      expect(seen[7]).toMatchObject({ messageId: 'source/8', routingKey: 'shop.thing.changed' });
    }
    const seen: StreamMessage[] = [];
    const reader = read('next', seen);
    await eventually(async () => {
      await publishAll(fixture, [{ key: 'new' }]);
      return seen.length > 0;
    });
    expect(seen[0]?.offset).toBeGreaterThanOrEqual(300);
    expect(reader.offset()).toBe(seen.at(-1)?.offset);
  });

  test('is replayed from an offset, exactly, and from a time', async () => {
    await filled(200);
    const fromOffset: StreamMessage[] = [];
    read({ offset: 123 }, fromOffset);
    const fromPast: StreamMessage[] = [];
    read({ time: new Date(Date.now() - 3_600_000) }, fromPast);
    const fromFuture: StreamMessage[] = [];
    read({ time: new Date(Date.now() + 3_600_000) }, fromFuture);
    await eventually(() => fromOffset.length === 77 && fromPast.length === 200);
    expect(offsets(fromOffset)).toEqual(range(123, 200));
    expect(offsets(fromPast)).toEqual(range(0, 200));
    expect(fromFuture).toEqual([]);
  });

  test('comes again from the message whose handler failed, none missing and none twice', async () => {
    await filled(100);
    const seen: StreamMessage[] = [];
    read('first', seen, 40);
    await eventually(() => seen.length === 100);
    expect(offsets(seen)).toEqual(range(0, 100));
  });
});
