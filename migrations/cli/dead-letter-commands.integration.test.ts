import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { consume, oneByOne } from '@strangler/platform/outbox/consumer.ts';
import { createDeadLetters } from '@strangler/platform/outbox/dead-letters.ts';
import { publishAll, type RabbitFixture, rabbitFixture } from '@strangler/platform/outbox/testing/fixture.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { exitCodes } from './exit-codes.ts';
import { runProgram } from './program.ts';

let fixture: RabbitFixture;
/** As the slice's applier is called. */
let slice: string;
let consumer: string;
beforeAll(async () => {
  fixture = rabbitFixture('cli-dlq');
  slice = fixture.named('shop');
  consumer = `${slice}.apply`;
  await fixture.declare({ consumers: [{ name: consumer, patterns: ['shop.#'], order: 'none' }] });
});
afterAll(() => fixture?.close());

/** Leaves three messages in the dead letters, of the keys a, b and c. */
beforeEach(async () => {
  const letters = createDeadLetters(fixture.rabbit);
  const channel = await fixture.rabbit.channel();
  await channel.purgeQueue(consumer);
  await channel.close();
  await letters.drop(consumer, 'all');
  const refusing = consume({
    ...fixture,
    consumer: { name: consumer, order: 'none' },
    handle: oneByOne(async ({ key }) => ({ outcome: 'poison', reason: `cannot be:\n${key}` })),
  });
  await publishAll(fixture, [
    { key: 'a', data: { price: 1 } },
    { key: 'b', data: { price: 2 } },
    { key: 'c', data: { price: 3 } },
  ]);
  await eventually(async () => (await letters.count(consumer)) === 3);
  await refusing.stop(1000);
});

const run = async (line: string) => {
  const out: string[] = [];
  const err: string[] = [];
  const status = await runProgram(line.split(' '), {
    out: (text) => out.push(text),
    err: (text) => err.push(text),
    environment: { RABBITMQ_URL: fixture.rabbitmqUrl, STRANGLER_USER: 'ada' },
    log: createLog({ name: 'test', level: 'silent' }),
    signal: new AbortController().signal,
  });
  return { status, out: out.join('\n'), err: err.join('\n') };
};
const listed = async () =>
  JSON.parse((await run(`dlq list ${slice} --json`)).out) as { messageId: string; key: string }[];

test('list tells each message that was given up on a line, by slice or by consumer', async () => {
  const { status, out } = await run(`dlq list ${slice}`);
  expect(status).toBe(exitCodes.done);
  const [head, ...lines] = out.split('\n');
  expect(head).toMatch(/^MESSAGE +GIVEN UP +ROUTING KEY +KEY +TRIES +REASON$/);
  expect(lines).toHaveLength(3);
  expect(lines[0]).toMatch(/^source\/1 +\d{4}-\S+Z +shop\.thing\.changed +a +1 {2}cannot be: a$/);
  expect((await run(`dlq list --consumer ${consumer}`)).out).toBe(out);
  expect((await run(`dlq list ${slice} --limit 2`)).out).toMatch(/source\/2.*\n\n1 more; --limit shows them$/);
});

test('show tells one whole: headers, tries, and the body to be read', async () => {
  const { status, out } = await run(`dlq show ${slice} source/2`);
  expect(status).toBe(exitCodes.done);
  expect(out).toContain('message source/2');
  expect(out).toMatch(/ {2}try 1 +\S+Z poison: cannot be:\nb/);
  expect(out).toContain('    x-strangler-key: b');
  expect(out).toMatch(/ {4}\{\n {6}"/);
  const [letter] = JSON.parse((await run(`dlq show ${slice} source/2 --json`)).out);
  expect(JSON.parse(letter.body)).toMatchObject({ data: { price: 2 } });
  expect(letter).toMatchObject({ messageId: 'source/2', key: 'b', history: [{ outcome: 'poison' }] });
});

test('an id that is not there is told, exits 1, and does not keep the others from being done', async () => {
  const replayed = await run(`dlq replay ${slice} source/2 source/9`);
  expect(replayed).toMatchObject({
    status: exitCodes.failed,
    out: `${consumer}: 1 message is back in its queue`,
    err: expect.stringContaining('source/9'),
  });
  expect((await listed()).map(({ key }) => key)).toEqual(['a', 'c']);
  expect((await run(`dlq show ${slice} source/9`)).status).toBe(exitCodes.failed);
  expect((await run(`dlq drop ${slice} source/9 --reason x`)).status).toBe(exitCodes.failed);
});

test('replay --all puts all back into the queue, where a consumer that is mended takes them', async () => {
  expect(await run(`dlq replay ${slice} --all`)).toMatchObject({
    status: exitCodes.done,
    out: `${consumer}: 3 messages are back in their queues`,
  });
  expect(await listed()).toEqual([]);
  const heard: string[] = [];
  const mended = consume({
    ...fixture,
    consumer: { name: consumer, order: 'none' },
    handle: oneByOne(async ({ key }) => {
      heard.push(key);
      return 'done';
    }),
  });
  await eventually(() => heard.length === 3);
  await mended.stop(1000);
  expect(heard.sort()).toEqual(['a', 'b', 'c']);
});

test('drop removes what it was told to for good, and prints it, by whom and why', async () => {
  const one = await run(`dlq drop ${slice} source/1 --reason too-old --json`);
  expect(one.status).toBe(exitCodes.done);
  expect(JSON.parse(one.out)).toMatchObject({
    dropped: 1,
    by: 'ada',
    reason: 'too-old',
    messages: [{ messageId: 'source/1', key: 'a', body: expect.stringContaining('"price":1') }],
  });
  const all = await run(`dlq drop ${slice} --all --reason ticket-7`);
  expect(all.out).toMatch(/source\/2.*\nsource\/3.*\n\n.*: 2 messages dropped by ada: ticket-7$/);
  expect((await run(`dlq list ${slice}`)).out).toBe(`${consumer}: no message was given up`);
});

test('a slice or consumer that nobody has declared is told as such', async () => {
  for (const words of ['list nowhere', 'replay nowhere --all', 'drop nowhere --all --reason x', 'show nowhere a/1']) {
    expect(await run(`dlq ${words}`)).toMatchObject({
      status: exitCodes.failed,
      err: expect.stringContaining('expected the queue nowhere.apply.dead, found none'),
    });
  }
});
