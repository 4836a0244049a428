import { afterEach, expect, test } from '@jest/globals';
import type { Pool } from 'mysql2/promise';
import { pause } from '../../backoff.ts';
import { createPool } from '../../mysql/pool.ts';
import { eventually } from '../../testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '../../testing/tcp-proxy.ts';
import { onConnection } from '../execute.ts';
import { record } from '../record.ts';
import { rowsOf } from '../schema.ts';
import {
  anEvent,
  firstHeard,
  listen,
  type OutboxFixture,
  outboxFixture,
  outOfOrder,
  pendingRows,
} from '../testing/fixture.ts';
import { seeded } from '../testing/random.ts';
import { type RelayProcess, startRelayProcess } from '../testing/relay-process.ts';

let fixture: OutboxFixture;
const running = new Set<RelayProcess>();

afterEach(async () => {
  for (const relay of running) relay.signal('SIGKILL');
  running.clear();
  await fixture?.close();
});

const seed = Number(process.env.TEST_SEED ?? 20_260_701);
const keyCount = 30;

/**
 * Changes some rows, in the order of their keys so that writers do not deadlock, and records an event of each while it
 * holds the row's lock; commits late now and then, and rolls back one time in six.
 */
async function writeOn(db: Pool, random: () => number, going: () => boolean): Promise<void> {
  const connection = await db.getConnection();
  while (going()) {
    const keys = new Set(Array.from({ length: 1 + Math.floor(random() * 4) }, () => Math.floor(random() * keyCount)));
    await connection.query('START TRANSACTION');
    for (const key of [...keys].sort((a, b) => a - b)) {
      await connection.query('UPDATE things SET n = n + 1 WHERE id = ?', [key]);
      const [row] = await rowsOf<{ n: number }>(connection, 'SELECT n FROM things WHERE id = ?', [key]);
      await record(anEvent(`k${key}`, { n: row?.n }), onConnection(connection));
    }
    const slow = random();
    if (slow < 0.3) await pause(slow * 150);
    await connection.query(random() < 1 / 6 ? 'ROLLBACK' : 'COMMIT');
  }
  connection.release();
}

async function startRelay(proxy: TcpProxy, id: number): Promise<RelayProcess> {
  const relay = await startRelayProcess({
    DATABASE_URL: fixture.database.url,
    RABBITMQ_URL: proxy.url,
    OUTBOX_EXCHANGE: fixture.exchange,
    RELAY_ID: `relay-${id}`,
    LEASE_TTL: '1s',
    LEASE_RENEW: '100ms',
    ROTATE_EVERY: '1s',
    ROWS_PER_PARTITION: '1000',
  });
  running.add(relay);
  void relay.exited.then(() => running.delete(relay));
  return relay;
}

test(`with relays killed, the broker cut off, slow commits and rollbacks, every committed row is published, in order of its key (seed ${seed})`, async () => {
  fixture = await outboxFixture('faults', { rowsPerPartition: 1000 });
  const name = fixture.named('all');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none' }] });
  const heard = await listen(fixture, name);
  const db = createPool(fixture.database.url);
  fixture.onClose(() => db.end());
  await db.query('CREATE TABLE things (id INT PRIMARY KEY, n INT NOT NULL)');
  await db.query('INSERT INTO things VALUES ?', [Array.from({ length: keyCount }, (_, id) => [id, 0])]);

  const proxy = await startTcpProxy(fixture.rabbitmqUrl);
  fixture.onClose(() => proxy.close());
  let relays = await Promise.all([1, 2, 3].map((id) => startRelay(proxy, id)));

  const random = seeded(seed);
  let going = true;
  const writers = Array.from({ length: 6 }, (_, n) => writeOn(db, seeded(seed + n + 1), () => going));

  for (let round = 0; round < 3; round += 1) {
    const before = heard.length;
    await eventually(() => heard.length >= before + 150);
    if (round === 1) proxy.holdAnswers();
    await pause(random() * 200);
    const victim = relays[Math.floor(random() * relays.length)]!;
    victim.signal('SIGKILL');
    await victim.exited;
    await pause(random() * 200);
    if (round === 1) await proxy.pass();
    proxy.cut();
    relays = [...relays.filter((relay) => relay !== victim), await startRelay(proxy, 10 + round)];
  }
  going = false;
  await Promise.all(writers);
  await eventually(async () => (await pendingRows(fixture.db)) === 0, { withinMs: 60_000 });
  for (const relay of relays) relay.signal('SIGTERM');
  expect(await Promise.all(relays.map(({ exited }) => exited))).toEqual([0, 0, 0]);

  const committed = await rowsOf<{ id: string; k: string; n: number }>(
    db,
    `SELECT CAST(id AS CHAR) AS id, CONVERT(subject_key USING utf8mb4) AS k,
       CAST(JSON_VALUE(payload, '$.data.n') AS SIGNED) AS n FROM strangler_outbox ORDER BY strangler_outbox.id`,
  );
  const published = new Set(heard.map(({ id }) => String(id)));
  await eventually(() => {
    for (const { id } of heard) published.add(String(id));
    return published.size === committed.length;
  });
  expect(committed.filter(({ id }) => !published.has(id))).toEqual([]);

  const byKey = firstHeard(heard);
  expect(outOfOrder(byKey)).toBeUndefined();
  // The ids of a key followed its commits, so the values that were heard count up one by one.
  for (const [key, ids] of byKey) {
    const values = new Map(committed.filter(({ k }) => k === key).map(({ id, n }) => [id, n]));
    expect(ids.map((id) => values.get(String(id)))).toEqual(ids.map((_, at) => at + 1));
  }
  // Leases were given back, and each had changed hands under a new token.
  const leases = await rowsOf<{ owner: string | null; token: number }>(
    db,
    'SELECT owner, token FROM strangler_outbox_lease',
  );
  expect(leases.filter(({ owner }) => owner !== null)).toEqual([]);
  expect(Math.max(...leases.map(({ token }) => token))).toBeGreaterThan(1);
}, 180_000);

test('a relay that slept through the loss of its leases marks nothing, and goes on as any other', async () => {
  fixture = await outboxFixture('asleep');
  const name = fixture.named('all');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none' }] });
  const heard = await listen(fixture, name);
  const proxy = await startTcpProxy(fixture.rabbitmqUrl);
  fixture.onClose(() => proxy.close());
  const sleeper = await startRelay(proxy, 1);
  await eventually(async () => (await fetch(`${sleeper.url}/health/ready`)).ok);
  const write = async (n: number) => {
    const connection = await fixture.db.getConnection();
    for (let at = 0; at < n; at += 1) await record(anEvent(`k${at % 7}`), onConnection(connection));
    connection.release();
  };
  await write(20);
  await eventually(async () => (await pendingRows(fixture.db)) === 0);
  // It has sent, and will not hear of the confirms before it sleeps.
  proxy.holdAnswers();
  await write(20);
  await eventually(() => new Set(heard.map(({ id }) => id)).size >= 27);
  sleeper.signal('SIGSTOP');
  await proxy.pass();
  expect(await pendingRows(fixture.db)).toBe(20);
  const other = await startRelay(proxy, 2);
  await eventually(async () => (await pendingRows(fixture.db)) === 0);
  const [lease] = await rowsOf<{ owner: string; token: number }>(
    fixture.db,
    'SELECT owner, token FROM strangler_outbox_lease LIMIT 1',
  );
  expect(lease?.owner).toMatch(/^relay-2#/);
  expect(lease?.token).toBeGreaterThan(1);
  sleeper.signal('SIGCONT');
  // Awake, it takes its share like any other.
  await eventually(async () => {
    await write(1);
    const owners = await rowsOf<{ owner: string }>(fixture.db, 'SELECT DISTINCT owner FROM strangler_outbox_lease');
    const held = await rowsOf<{ n: number }>(
      fixture.db,
      'SELECT COUNT(*) AS n FROM strangler_outbox_lease GROUP BY owner',
    );
    return owners.length === 2 && held.every(({ n }) => n === 8);
  });
  await eventually(async () => (await pendingRows(fixture.db)) === 0);
  expect(outOfOrder(firstHeard(heard))).toBeUndefined();
  const metrics = await (await fetch(`${other.url}/metrics`)).text();
  expect(metrics).toMatch(/^relay_lag_seconds\{service="relay"\} 0$/m);
  expect(metrics).toMatch(/^relay_leases_held\{service="relay"\} 8$/m);
  for (const relay of [sleeper, other]) relay.signal('SIGTERM');
  expect(await Promise.all([sleeper.exited, other.exited])).toEqual([0, 0]);
}, 180_000);

test('a relay names every bad variable and exits with 2', async () => {
  await expect(startRelayProcess({ RABBITMQ_URL: 'http://x', LEASE_TTL: 'soon' })).rejects.toThrow(
    /DATABASE_URL.*RABBITMQ_URL.*LEASE_TTL/s,
  );
});
