import { afterEach, expect, test } from '@jest/globals';
import type { Pool } from 'mysql2/promise';
import { createPool } from '../../mysql/pool.ts';
import { eventually, type FreshDatabase, freshDatabase } from '../../testing/servers.ts';
import { startTcpProxy, type TcpProxy } from '../../testing/tcp-proxy.ts';
import { dropOutbox, installOutbox } from '../schema.ts';
import {
  anEvent,
  type Heard,
  listen,
  pendingRows,
  type RabbitFixture,
  rabbitFixture,
  recordAll,
} from '../testing/fixture.ts';
import { type RelayProcess, startRelayProcess } from '../testing/relay-process.ts';
import { names } from '../topology.ts';

let fixture: RabbitFixture;

afterEach(async () => {
  await fixture?.close();
});

type Started = { database: FreshDatabase; db: Pool; proxy: TcpProxy; relay: RelayProcess };

/** A relay of a database without an outbox, which it reaches through a proxy. */
async function start(label: string): Promise<Started> {
  fixture = rabbitFixture(label);
  const database = await freshDatabase(label);
  fixture.onClose(() => database.drop());
  const db = createPool(database.url);
  fixture.onClose(() => db.end());
  const proxy = await startTcpProxy(database.url);
  fixture.onClose(() => proxy.close());
  const relay = await startRelayProcess({
    DATABASE_URL: proxy.url,
    RABBITMQ_URL: fixture.rabbitmqUrl,
    OUTBOX_EXCHANGE: fixture.exchange,
    LEASE_TTL: '1s',
    LEASE_RENEW: '100ms',
  });
  fixture.onClose(async () => {
    relay.signal('SIGKILL');
    await relay.exited;
  });
  return { database, db, proxy, relay };
}

async function ready({ url }: RelayProcess): Promise<{ status: number; checks: Record<string, string> }> {
  const answer = await fetch(`${url}/health/ready`);
  const { checks } = (await answer.json()) as { checks: Record<string, string> };
  return { status: answer.status, checks };
}

const publishing = async (relay: RelayProcess): Promise<void> =>
  eventually(async () => expect(await ready(relay)).toMatchObject({ status: 200, checks: { outbox: 'ok' } }));

const waiting = async (relay: RelayProcess): Promise<void> =>
  eventually(async () =>
    expect(await ready(relay)).toMatchObject({ status: 200, checks: { outbox: 'ok: waiting for the outbox' } }),
  );

const lines = (relay: RelayProcess) =>
  relay
    .output()
    .split('\n')
    .filter((line) => line !== '').length;

const sourceOf = ({ message }: Heard): string => String(message.properties.messageId).split('/')[0] ?? '';

test('a relay declares the exchange and the stream that keeps everything, and nothing that it publishes is without a queue', async () => {
  const { db, relay } = await start('declares');
  await waiting(relay);
  const stream = names.stream(fixture.exchange);
  const channel = await fixture.rabbit.channel();
  await expect(channel.checkQueue(stream)).resolves.toMatchObject({ messageCount: 0 });
  await channel.close();
  await installOutbox(db);
  await recordAll(db, [anEvent('a'), anEvent('b')]);
  await eventually(async () => (await pendingRows(db)) === 0);
  await eventually(async () => {
    const looking = await fixture.rabbit.channel();
    const { messageCount } = await looking.checkQueue(stream);
    await looking.close();
    return messageCount === 2;
  });
});

test('a relay waits for an outbox, publishes it, waits again when it is dropped, and publishes the next under its own name', async () => {
  const { db, relay } = await start('comes');
  await waiting(relay);
  const name = fixture.named('all');
  await fixture.declare({ consumers: [{ name, patterns: ['#'], order: 'none' }], stream: {} });
  const heard = await listen(fixture, name);

  await installOutbox(db);
  await recordAll(db, [anEvent('a'), anEvent('b')]);
  await eventually(() => heard.length === 2);
  await publishing(relay);

  await dropOutbox(db);
  await waiting(relay);
  await installOutbox(db);
  await recordAll(db, [anEvent('c')]);
  await eventually(() => heard.length === 3);
  await eventually(async () => (await pendingRows(db)) === 0);

  // Dropped and made again before the relay looks.
  await dropOutbox(db);
  await installOutbox(db);
  await recordAll(db, [anEvent('d'), anEvent('e')]);
  // Whoever begins anew before it has marked what it published publishes it again.
  const keys = () => [...new Set(heard.map(({ key }) => key))].sort();
  await eventually(() => keys().length === 5);
  await eventually(async () => (await pendingRows(db)) === 0);
  await publishing(relay);

  expect(keys()).toEqual(['a', 'b', 'c', 'd', 'e']);
  // Ids begin anew, and no message has the id of another.
  expect(new Set(heard.map(sourceOf)).size).toBe(3);
  const metrics = await (await fetch(`${relay.url}/metrics`)).text();
  expect(metrics).toMatch(/^relay_published_total(\{.*\})? [2-9]$/m);
  expect(lines(relay)).toBeLessThan(200);
  relay.signal('SIGTERM');
  await expect(relay.exited).resolves.toBe(0);
});

test('a relay outlives its database, tells of it, and does not flood its log meanwhile', async () => {
  const { db, proxy, relay } = await start('away');
  await installOutbox(db);
  await recordAll(db, [anEvent('a')]);
  await eventually(async () => (await pendingRows(db)) === 0);
  await publishing(relay);
  const before = lines(relay);
  await proxy.refuse();
  await recordAll(db, [anEvent('b')]);
  const failing = async () => (await ready(relay)).status === 503;
  await eventually(failing);
  // Many tries of each of its parts.
  for (let n = 0; n < 30; n += 1) await eventually(failing);
  await eventually(() => /outbox could not be looked for/.test(relay.output()));
  expect(lines(relay) - before).toBeLessThan(20);
  await proxy.pass();
  await eventually(async () => (await pendingRows(db)) === 0, { withinMs: 60_000 });
  await publishing(relay);
});

test('a relay that starts while the database is away begins when it is there', async () => {
  const { database, proxy, relay } = await start('late');
  relay.signal('SIGTERM');
  await relay.exited;
  await proxy.refuse();
  const late = await startRelayProcess({
    DATABASE_URL: proxy.url,
    RABBITMQ_URL: fixture.rabbitmqUrl,
    OUTBOX_EXCHANGE: fixture.exchange,
  });
  fixture.onClose(async () => {
    late.signal('SIGKILL');
    await late.exited;
  });
  await eventually(async () => expect(await ready(late)).toMatchObject({ status: 503 }));
  const db = createPool(database.url);
  fixture.onClose(() => db.end());
  await installOutbox(db);
  await recordAll(db, [anEvent('a')]);
  await proxy.pass();
  await eventually(async () => (await pendingRows(db)) === 0, { withinMs: 60_000 });
});
