import { afterEach, describe, expect, test } from '@jest/globals';
import { eventually, testServers } from '@strangler/platform/testing/servers.ts';
import { startTcpProxy } from '@strangler/platform/testing/tcp-proxy.ts';
import { applyConsumerName, applyQueues } from '../engine/pipe/apply-consumer.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import { hearApplied } from '../testing/hear-applied.ts';
import { type Pipe, type PipeProcess, startPipe } from '../testing/start-pipe.ts';
import { allAnnounced, equalEnds, isReady, seed, troubled } from './applier.fixture.ts';
import { goods, startWriters } from './goods.fixture.ts';

let pipe: Pipe;
afterEach(async () => {
  await pipe?.close();
});

describe('whatever happens to servers', () => {
  test('a target that is away makes no dead letters: it is waited for, told of, and gone on with', async () => {
    pipe = await startPipe({ label: 'away', ...goods, appliers: 0 });
    const proxy = await startTcpProxy(pipe.target.url);
    pipe.onClose(() => proxy.close());
    const applier = await pipe.startApplier({ STRANGLER_TARGET: proxy.url });
    await isReady(applier);
    const writers = startWriters(pipe, { seed, restMs: 10 });
    await eventually(async () => (await applier.metric('applier_delay_seconds_count')) > 20);
    for (let n = 0; n < 3; n += 1) {
      proxy.cut();
      const before = await applier.metric('applier_delay_seconds_count');
      await eventually(async () => (await applier.metric('applier_delay_seconds_count')) > before + 20, {
        withinMs: 60_000,
      });
    }
    await proxy.refuse();
    await troubled(applier, /target: /);
    const waits = await applier.metric('applier_waits_total', { cause: 'target' });
    await eventually(async () => (await applier.metric('applier_waits_total', { cause: 'target' })) > waits + 4, {
      withinMs: 60_000,
    });
    expect(await applier.metric('applier_trouble', { cause: 'target' })).toBe(1);
    await proxy.pass();
    await isReady(applier);
    await writers.stop();
    await pipe.empty();
    await equalEnds(pipe);
    expect(await pipe.deadLetters()).toEqual([]);
    expect(applier.output().split('\n').length).toBeLessThan(100);
  }, 180_000);

  test('a target that comes back while the applier is being stopped, or does not, leaves nothing behind', async () => {
    pipe = await startPipe({ label: 'stopped', ...goods, appliers: 0 });
    const proxy = await startTcpProxy(pipe.target.url);
    pipe.onClose(() => proxy.close());
    const applier = await pipe.startApplier({ STRANGLER_TARGET: proxy.url });
    await isReady(applier);
    await proxy.refuse();
    await pipe.source.pool.query("INSERT INTO goods VALUES (1, 'a', 10), (2, 'b', 20)");
    await troubled(applier, /target: /);
    await expect(applier.stop()).resolves.toBe(0);
    expect(await pipe.deadLetters()).toEqual([]);
    await proxy.pass();
    await applier.start();
    await pipe.empty();
    await equalEnds(pipe);
    expect(await pipe.deadLetters()).toEqual([]);
  }, 180_000);

  test('a broker that cuts connections, or is away, costs repetitions and nothing else', async () => {
    pipe = await startPipe({ label: 'broker', ...goods, appliers: 0 });
    const heard = await hearApplied(pipe);
    const proxy = await startTcpProxy(testServers().rabbitmqUrl);
    pipe.onClose(() => proxy.close());
    const applier = await pipe.startApplier({ RABBITMQ_URL: proxy.url });
    const writers = startWriters(pipe, { seed, restMs: 10 });
    for (let n = 1; n <= 4; n += 1) {
      const before = await applier.metric('applier_delay_seconds_count');
      await eventually(async () => (await applier.metric('applier_delay_seconds_count')) > before + 20, {
        withinMs: 60_000,
      });
      proxy.cut();
    }
    await proxy.refuse();
    await troubled(applier, /rabbitmq: |announcement: /);
    await proxy.pass();
    await isReady(applier);
    await writers.stop();
    await pipe.empty();
    await equalEnds(pipe);
    expect(await pipe.deadLetters()).toEqual([]);
    await allAnnounced(pipe, heard);
  }, 180_000);
});

describe('the stage', () => {
  test('begins and ends the applying, again and again, and every time with what is there now', async () => {
    pipe = await startPipe({ label: 'stages', ...goods, stage: 'monolith' });
    const [applier] = pipe.appliers as [PipeProcess];
    await isReady(applier);
    expect(await applier.metric('applier_state', { direction: 'forward', state: 'idle' })).toBe(1);
    for (const round of [1, 2, 3]) {
      await pipe.install();
      await pipe.setStage('sync');
      await pipe.source.pool.query('REPLACE INTO goods VALUES (?, ?, ?)', [round, `r${round}`, round]);
      await pipe.empty();
      await isReady(applier);
      expect(await rowsOf(pipe.target.pool, 'SELECT id FROM items')).toEqual([{ id: round }]);
      await pipe.setStage('shadow');
      await pipe.source.pool.query('UPDATE goods SET price = price + 100');
      await eventually(async () =>
        expect(await rowsOf(pipe.target.pool, 'SELECT price FROM items WHERE id = ?', [round])).toEqual([
          { price: 100 + round },
        ]),
      );
      await pipe.setStage('monolith');
      await pipe.uninstall();
      await eventually(
        async () => (await applier.metric('applier_state', { direction: 'forward', state: 'idle' })) === 1,
      );
      await isReady(applier);
      await pipe.source.pool.query('DELETE FROM goods');
    }
    expect(applier.output().split('\n').length).toBeLessThan(60);
  }, 180_000);

  test('that says apply while the pipe is taken away: nothing is applied, why is told, and it goes on when it is back', async () => {
    pipe = await startPipe({ label: 'removed', ...goods });
    const [applier] = pipe.appliers as [PipeProcess];
    await isReady(applier);
    await pipe.uninstall();
    await troubled(applier, /floor: |queues: /);
    await pipe.install();
    await pipe.source.pool.query("INSERT INTO goods VALUES (1, 'a', 10)");
    await isReady(applier);
    await pipe.empty();
    await equalEnds(pipe);
    // Queues that go while the rest stays.
    const channel = await pipe.rabbit.channel();
    for (const queue of applyQueues(pipe.slice.slice)) await channel.deleteQueue(queue);
    await channel.close();
    await troubled(applier, /queues: the queue .* is not there/);
    expect(applier.output()).not.toMatch(/"level":(50|"error")/);
  }, 180_000);

  test('is obeyed with tables that fit together only', async () => {
    pipe = await startPipe({ label: 'fit', ...goods });
    const [applier] = pipe.appliers as [PipeProcess];
    await isReady(applier);
    await pipe.target.pool.query('ALTER TABLE notes RENAME COLUMN text TO body');
    await pipe.source.pool.query("INSERT INTO notes VALUES (1, 'a')");
    await troubled(applier, /mapping: [\s\S]*text/);
    expect(await rowsOf(pipe.target.pool, 'SELECT id FROM notes')).toEqual([]);
    await pipe.target.pool.query('ALTER TABLE notes RENAME COLUMN body TO text');
    await pipe.empty();
    await isReady(applier);
    await equalEnds(pipe);
    await pipe.target.pool.query('DROP TABLE notes');
    await pipe.source.pool.query("INSERT INTO notes VALUES (2, 'x')");
    await troubled(applier, /mapping: [\s\S]*notes/);
    await pipe.target.pool.query('CREATE TABLE notes (id INT NOT NULL PRIMARY KEY, text VARCHAR(200), more INT NULL)');
    await pipe.source.pool.query("INSERT INTO notes VALUES (3, 'y')");
    await eventually(
      async () => expect(await rowsOf(pipe.target.pool, 'SELECT id FROM notes ORDER BY id')).toHaveLength(2),
      {
        withinMs: 60_000,
      },
    );
    expect(await pipe.deadLetters()).toEqual([]);
  }, 180_000);
});

test('an applier without a flag store says so, and one with a bad environment names every bad variable', async () => {
  pipe = await startPipe({ label: 'flags', ...goods, stage: 'monolith', appliers: 0, relays: 0 });
  const applier = await pipe.startApplier({ STRANGLER_FLAGS: 'consul://127.0.0.1:1' });
  await troubled(applier, /flags: /);
  await expect(pipe.startApplier({ SLICE: 'A b', STRANGLER_SOURCE: 'http://x', DRAIN_GRACE: 'soon' })).rejects.toThrow(
    /SLICE: [\s\S]*STRANGLER_SOURCE: [\s\S]*DRAIN_GRACE: /,
  );
  expect(applyConsumerName(pipe.slice.slice)).toBe(`${pipe.slice.slice}.apply`);
});
