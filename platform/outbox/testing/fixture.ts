import { randomBytes } from 'node:crypto';
import type { ConsumeMessage } from 'amqplib';
import type { Pool } from 'mysql2/promise';
import { createLog, type Log } from '../../log.ts';
import { connect, type RabbitConnection } from '../../rabbit.ts';
import { type FreshDatabase, freshDatabase, testServers } from '../../testing/servers.ts';
import { declareTopology, deleteTopology } from '../declare.ts';
import { onConnection } from '../execute.ts';
import { messageOf } from '../message.ts';
import { partOf } from '../part.ts';
import { type DomainEvent, record } from '../record.ts';
import { createRelayPool } from '../relay/database.ts';
import { type InstallOptions, installInbox, installOutbox, rowsOf } from '../schema.ts';
import type { TopologySpec } from '../topology.ts';

/** Names in RabbitMQ that nobody else uses; `close` removes what bears them. */
export type RabbitFixture = {
  rabbit: RabbitConnection;
  rabbitmqUrl: string;
  exchange: string;
  log: Log;
  /** Declares it under the fixture's exchange and removes it at the end. */
  declare(spec: Omit<TopologySpec, 'exchange'>): Promise<void>;
  /** A consumer name of this fixture. */
  named(consumer: string): string;
  /** Called, last first, before the servers are left. */
  onClose(close: () => unknown): void;
  close(): Promise<void>;
};

/** The same, and a database with an outbox and an inbox. */
export type OutboxFixture = RabbitFixture & { database: FreshDatabase; db: Pool };

export function rabbitFixture(label: string): RabbitFixture {
  const { rabbitmqUrl } = testServers();
  const log = createLog({ name: label, level: process.env.TEST_LOG_LEVEL ?? 'silent' });
  const rabbit = connect({ url: rabbitmqUrl, log });
  const suffix = randomBytes(4).toString('hex');
  const exchange = `test-${label}-${suffix}`;
  const closers: (() => unknown)[] = [];
  return {
    rabbit,
    rabbitmqUrl,
    exchange,
    log,
    named: (consumer) => `${consumer}-${suffix}`,
    async declare(spec) {
      closers.unshift(() => deleteTopology(rabbit, { exchange, ...spec }));
      await declareTopology(rabbit, { exchange, ...spec });
    },
    onClose: (close) => void closers.unshift(close),
    async close() {
      for (const close of closers.splice(0)) await close();
      // What relays have declared.
      await deleteTopology(rabbit, { exchange, consumers: [], stream: {} });
      await rabbit.close();
    },
  };
}

export async function outboxFixture(label: string, options: InstallOptions = {}): Promise<OutboxFixture> {
  const fixture = rabbitFixture(label);
  const database = await freshDatabase(label);
  const db = createRelayPool(database.url);
  await installOutbox(db, options);
  await installInbox(db);
  let closed = false;
  return {
    ...fixture,
    database,
    db,
    async close() {
      if (closed) return;
      closed = true;
      await fixture.close();
      await db.end();
      await database.drop();
    },
  };
}

export const anEvent = (key: string, data: Record<string, unknown> = {}): DomainEvent => ({
  slice: 'shop',
  type: 'thing.changed',
  schemaVersion: 1,
  aggregate: 'thing',
  key,
  data,
});

/** Records events in one transaction and commits it. */
export async function recordAll(db: Pool, events: readonly DomainEvent[]): Promise<void> {
  const connection = await db.getConnection();
  try {
    await connection.query('START TRANSACTION');
    for (const event of events) await record(event, onConnection(connection));
    await connection.query('COMMIT');
  } finally {
    connection.release();
  }
}

export async function pendingRows(db: Pool): Promise<number> {
  const [row] = await rowsOf<{ n: number }>(db, 'SELECT COUNT(*) AS n FROM strangler_outbox WHERE published = 0');
  return row?.n ?? 0;
}

/** What has come out of a queue, in order. */
export type Heard = {
  id: bigint;
  key: string;
  routingKey: string;
  body: Record<string, unknown>;
  message: ConsumeMessage;
};

/** Takes all that comes to a queue and keeps it, until the fixture is closed. */
export async function listen(fixture: RabbitFixture, queue: string): Promise<Heard[]> {
  const channel = await fixture.rabbit.channel();
  const heard: Heard[] = [];
  await channel.prefetch(500);
  await channel.consume(queue, (message) => {
    if (message === null) return;
    heard.push({
      id: BigInt(String(message.properties.messageId).split('/')[1] ?? 0),
      key: String(message.properties.headers?.['x-strangler-key']),
      routingKey: message.fields.routingKey,
      body: JSON.parse(message.content.toString()) as Record<string, unknown>,
      message,
    });
    channel.ack(message);
  });
  fixture.onClose(() => channel.close().catch(() => {}));
  return heard;
}

/** Of each key, the ids in the order in which each was heard first. */
export function firstHeard(heard: readonly Heard[]): Map<string, bigint[]> {
  const seen = new Set<bigint>();
  const byKey = new Map<string, bigint[]>();
  for (const { id, key } of heard) {
    if (seen.has(id)) continue;
    seen.add(id);
    byKey.set(key, [...(byKey.get(key) ?? []), id]);
  }
  return byKey;
}

/** The first key whose ids are not in increasing order. */
export function outOfOrder(byKey: ReadonlyMap<string, readonly bigint[]>): [string, readonly bigint[]] | undefined {
  return [...byKey].find(([, ids]) => ids.some((id, at) => at > 0 && id <= (ids[at - 1] ?? 0n)));
}

/** Publishes messages as a relay does, ids from 1 on, and waits until the broker has them. */
export async function publishAll(
  { rabbit, exchange }: RabbitFixture,
  messages: readonly { key: string; data?: unknown }[],
): Promise<void> {
  const channel = await rabbit.confirmChannel();
  for (const [at, { key, data = at }] of messages.entries()) {
    const { routingKey, body, properties } = messageOf(
      {
        id: String(at + 1),
        part: partOf('thing', key),
        kind: 'event',
        epoch: 1,
        topic: 'shop.thing.changed',
        subject: 'thing',
        subjectKey: key,
        op: 'changed',
        payload: JSON.stringify({ data }),
        headers: '{}',
        at: '2026-01-01T00:00:00.000000Z',
      },
      'source',
    );
    channel.publish(exchange, routingKey, body, properties);
  }
  await channel.waitForConfirms();
  await channel.close();
}
