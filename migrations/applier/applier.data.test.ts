import { afterEach, describe, expect, test } from '@jest/globals';
import { formatRowMessage } from '@strangler/platform/contracts/row-message.ts';
import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { seeded } from '@strangler/platform/outbox/testing/random.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import { readPositions } from '../engine/apply/positions.ts';
import { applyQueues } from '../engine/pipe/apply-consumer.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import { announcedChanges, hearApplied } from '../testing/hear-applied.ts';
import { type Pipe, type PipeProcess, startPipe } from '../testing/start-pipe.ts';
import { allAnnounced, equalEnds, isReady, seed } from './applier.fixture.ts';
import { capturedChanges, goods, startWriters } from './goods.fixture.ts';

let pipe: Pipe;
afterEach(async () => {
  await pipe?.close();
});

describe('while all is well', () => {
  test('what is written in the source arrives in the target, and each change is announced with its version', async () => {
    pipe = await startPipe({ label: 'arrive', ...goods, appliers: 0 });
    const heard = await hearApplied(pipe);
    const applier = await pipe.startApplier();
    await pipe.source.pool.query("INSERT INTO goods VALUES (1, 'a', 10), (2, 'b', 20), (3, 'c', 30)");
    await pipe.source.pool.query('UPDATE goods SET price = price + 1');
    await pipe.source.pool.query('DELETE FROM goods WHERE id = 2');
    await pipe.empty();
    await equalEnds(pipe);
    await eventually(async () =>
      expect([...announcedChanges(heard)].sort()).toEqual((await capturedChanges(pipe)).sort()),
    );
    expect(heard[0]).toMatchObject({ slice: pipe.slice.slice, table: 'goods', target: 'items' });
    expect(await pipe.deadLetters()).toEqual([]);
    await isReady(applier);

    // Of each part, its own queue's.
    const queues = new Set(applyQueues(pipe.slice.slice));
    const positions = await readPositions(pipe.target.pool);
    const [highest] = await rowsOf<{ id: string }>(
      pipe.source.pool,
      `SELECT CAST(MAX(id) AS CHAR) AS id FROM ${outboxTable}`,
    );
    const own = positions.filter(({ name }) => queues.has(name));
    expect(own.map(({ version }) => version.id)).toContain(String(highest?.id));
    expect(new Set(own.map(({ version }) => version.id)).size).toBeGreaterThan(1);

    await expect(applier.stop()).resolves.toBe(0);
  });

  test('a change that waits for a unique value is announced when it is in the target, and not before', async () => {
    pipe = await startPipe({ label: 'settles', ...goods, appliers: 0 });
    const heard = await hearApplied(pipe);
    await pipe.source.pool.query("INSERT INTO goods VALUES (1, 'a', 10)");
    // In the target somebody has the name already, by hand.
    await pipe.target.pool.query("INSERT INTO items VALUES (99, 'a', 1)");
    const applier = await pipe.startApplier();
    await eventually(async () => (await applier.metric('strangler_parked_changes')) === 1);
    const [change = ''] = await capturedChanges(pipe);
    expect(announcedChanges(heard)).not.toContain(change);
    await pipe.target.pool.query('DELETE FROM items WHERE id = 99');
    await pipe.empty();
    await eventually(() => announcedChanges(heard).has(change));
    await equalEnds(pipe);
  });
});

describe('whatever happens to appliers', () => {
  test(`killed again and again under load, none of it is lost, none dead-lettered, and all announced (seed ${seed})`, async () => {
    pipe = await startPipe({ label: 'killed', ...goods });
    const heard = await hearApplied(pipe);
    const random = seeded(seed);
    const [applier] = pipe.appliers as [PipeProcess];
    const writers = startWriters(pipe, { seed, restMs: 10 });
    for (let n = 0; n < 5; n += 1) {
      const before = writers.commits();
      const some = 2 + Math.floor(random() * 12);
      await eventually(() => writers.commits() >= before + some);
      await applier.kill();
      await applier.start();
    }
    await writers.stop();
    await pipe.empty();
    await equalEnds(pipe);
    expect(await pipe.deadLetters()).toEqual([]);
    await allAnnounced(pipe, heard);
  }, 180_000);

  test('two share the parts, and when one is killed the other takes over what it had', async () => {
    pipe = await startPipe({ label: 'share', ...goods, appliers: 2 });
    const [one, two] = pipe.appliers as [PipeProcess, PipeProcess];
    await isReady(one);
    await isReady(two);
    const writers = startWriters(pipe, { seed, restMs: 10 });
    await eventually(() => writers.commits() > 40);
    await one.kill();
    const before = await two.metric('applier_delay_seconds_count');
    await eventually(async () => (await two.metric('applier_delay_seconds_count')) > before + 20);
    await one.start();
    await two.stop();
    await eventually(async () => (await one.metric('applier_delay_seconds_count')) > 20);
    await writers.stop();
    await pipe.empty();
    await equalEnds(pipe);
    expect(await pipe.deadLetters()).toEqual([]);
  }, 180_000);
});

describe('whatever happens in the target', () => {
  test('rows that the target keeps locked are waited for', async () => {
    pipe = await startPipe({ label: 'locked', ...goods });
    const [applier] = pipe.appliers as [PipeProcess];
    await pipe.source.pool.query("INSERT INTO goods VALUES (1, 'a', 10)");
    await pipe.empty();
    const holder = await pipe.target.pool.getConnection();
    await holder.query('START TRANSACTION');
    await holder.query('SELECT * FROM items FOR UPDATE');
    await pipe.source.pool.query('UPDATE goods SET price = 11');
    await eventually(async () => (await applier.metric('strangler_apply_retries_total', { cause: 'lock-wait' })) > 0, {
      withinMs: 60_000,
    });
    await holder.query('COMMIT');
    holder.release();
    await pipe.empty();
    await equalEnds(pipe);
    expect(await pipe.deadLetters()).toEqual([]);
  }, 180_000);
});

describe('poison', () => {
  test('goes to the dead letters with its reason, and others go on', async () => {
    pipe = await startPipe({ label: 'poison', ...goods });
    const { slice, exchange, rabbit } = pipe;
    const channel = await rabbit.confirmChannel();
    const headers = { 'x-strangler-part': 'p03', 'x-strangler-subject': 'goods', 'x-strangler-key': '7' };
    const send = (messageId: string, body: string) =>
      channel.publish(exchange, `${slice.slice}.goods.upsert`, Buffer.from(body), {
        messageId,
        headers,
        persistent: true,
      });
    send('no-json', '{"slice":');
    send(
      'other-slice',
      formatRowMessage({
        slice: 'another',
        table: 'goods',
        op: 'delete',
        key: { id: '7' },
        keyText: '7',
        image: null,
        version: { epoch: 1, id: '999999' },
        at: '2026-11-21T08:45:42.000001Z',
        writer: { user: 'x' },
      }),
    );
    await channel.waitForConfirms();
    await channel.close();
    await pipe.source.pool.query("INSERT INTO goods VALUES (1, 'a', 10), (2, 'b', -20), (3, 'c', 30), (4, 'd', -40)");
    await pipe.source.pool.query('UPDATE goods SET price = 44 WHERE id = 4');
    await eventually(async () => expect(await pipe.deadLetters()).toHaveLength(4), { withinMs: 60_000 });
    await eventually(async () => {
      const found = await rowsOf(pipe.target.pool, 'SELECT id, price FROM items ORDER BY id');
      expect(found).toEqual([
        { id: 1, price: 10 },
        { id: 3, price: 30 },
        { id: 4, price: 44 },
      ]);
    });
    const reasons = (await pipe.deadLetters()).map(({ reason }) => reason).sort();
    expect(reasons).toEqual([
      expect.stringMatching(/^error (3819|4025): .*no_debt/),
      expect.stringMatching(/^error (3819|4025): .*no_debt/),
      expect.stringMatching(/^message no-json: /),
      expect.stringMatching(/^message other-slice: expected the slice .*, found another/),
    ]);
    await isReady(pipe.appliers[0]);
    expect(await pipe.appliers[0]?.metric('applier_poison_total')).toBe(4);
  }, 180_000);
});
