import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { Registry } from 'prom-client';
import { systemClock } from '../clock.ts';
import { migrateUp } from '../database.ts';
import { createHandleEvent, type HandleEvent } from '../events/event-consumer.ts';
import type { ShopEvent } from '../events/shop-event.ts';
import type { Mark, Side } from './deliverer.ts';
import { createHandovers, type Handovers } from './handovers.ts';

let database: FreshDatabase;
let pool: Pool;
let handovers: Handovers;
let handle: HandleEvent;
const woken: number[] = [];
const dispatched: string[] = [];
let seq = 0;
const account = 7;

beforeAll(async () => {
  database = await freshDatabase('handovers');
  await migrateUp(database.url, createLog({ name: 'test', level: 'silent' }));
  pool = createPool(database.url, { connectionLimit: 12 });
  handovers = createHandovers({ pool, clock: systemClock });
  handle = createHandleEvent({
    ...{ pool, clock: systemClock, mailDelayMs: 0, registry: new Registry() },
    dispatch: async (ids) => void dispatched.push(...ids),
    wake: (accountId) => woken.push(accountId),
  });
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

function event(id: number, mark?: Mark, accountId = account): ShopEvent {
  const happening = { kind: 'order_placed', accountId, orderId: id, amountCents: 1, currency: 'EUR' } as const;
  return {
    id: `event-${id}`,
    type: 'order.placed',
    position: { epoch: 1, id: BigInt(id) },
    mark,
    occurredAt: new Date(),
    meaning: { kind: 'happening', happening, placed: { items: [] } },
  };
}

const hand = async (side: Side, from: number, expectedSeq = seq) => {
  const decision = await handovers.hand({
    expectedSeq,
    side,
    from: { epoch: 1, id: BigInt(from) },
    by: 'test',
    reason: 't',
  });
  if (decision.outcome === 'taken') seq = decision.handover.seq;
  return decision;
};

async function outcomes(): Promise<{ id: number; by: Side; jobs: number }[]> {
  const rows = await select<{ order_id: number; delivered_by: Side; jobs: number }>(
    pool,
    `SELECT n.order_id, n.delivered_by, (SELECT COUNT(*) FROM jobs j WHERE j.notification_id = n.id) AS jobs
       FROM notifications n ORDER BY n.order_id`,
  );
  return rows.map((row) => ({ id: row.order_id, by: row.delivered_by, jobs: row.jobs }));
}

describe('delivery', () => {
  test('is the shop’s at first: rows are written, nobody is woken and nothing is to be done', async () => {
    for (const id of [1, 2, 3]) await handle(event(id));
    expect(await outcomes()).toEqual([1, 2, 3].map((id) => ({ id, by: 'monolith', jobs: 0 })));
    expect([woken, dispatched]).toEqual([[], []]);
    expect((await handovers.status()).mode).toBe('shadow');
  });

  test('is the service’s from a position on, also of what had come before it was told', async () => {
    const taken = await hand('service', 3);
    expect(taken).toMatchObject({ outcome: 'taken', nowDelivered: { accountIds: [account] } });
    expect(taken.nowDelivered.jobIds).toHaveLength(1);
    // An early event that comes late is still the shop's.
    for (const id of [5, 0, 4]) await handle(event(id));
    expect(await outcomes()).toEqual([
      ...[0, 1, 2].map((id) => ({ id, by: 'monolith', jobs: 0 })),
      ...[3, 4, 5].map((id) => ({ id, by: 'service', jobs: 1 })),
    ]);
  });

  test('is not given back over what has been delivered, is with a gap behind it, and the mark of an event goes before all', async () => {
    expect(await hand('monolith', 5)).toMatchObject({
      outcome: 'refused',
      reason: expect.stringMatching(/up to 1\/5/),
    });
    expect(await hand('service', 9)).toMatchObject({ outcome: 'refused' });
    expect(await hand('monolith', 6, 0)).toMatchObject({ outcome: 'conflict', lastSeq: 1 });
    expect(await hand('monolith', 6)).toMatchObject({ outcome: 'taken' });
    await handle(event(6));
    await handle(event(7, { side: 'service', epoch: 2 }));
    await handle(event(8));
    expect((await outcomes()).slice(-3).map(({ by }) => by)).toEqual(['monolith', 'service', 'monolith']);
    // The service takes over again: what was marked is not looked at.
    expect(await hand('service', 8)).toMatchObject({ outcome: 'taken' });
    expect((await outcomes()).slice(-3).map(({ by, jobs }) => `${by} ${jobs}`)).toEqual([
      'monolith 0',
      'service 1',
      'service 1',
    ]);
  });

  test('of two who hand over at once one wins, and while events pour in each is delivered exactly as the last word says', async () => {
    await hand('monolith', 100);
    const ids = Array.from({ length: 120 }, (_, at) => 100 + at).sort(() => Math.random() - 0.5);
    const before = woken.length;
    const pouring = Promise.all(
      Array.from({ length: 6 }, async (_, lane) => {
        for (const id of ids.filter((_, at) => at % 6 === lane)) await handle(event(id, undefined, 1_000 + (id % 9)));
      }),
    );
    const expectedSeq = seq;
    const both = await Promise.all([hand('service', 150, expectedSeq), hand('service', 160, expectedSeq)]);
    await pouring;
    expect(both.map(({ outcome }) => outcome).sort()).toEqual(['conflict', 'taken']);
    const from = both[0]?.outcome === 'taken' ? 150 : 160;
    const poured = (await outcomes()).filter(({ id }) => id >= 100);
    expect(poured).toEqual(
      Array.from({ length: 120 }, (_, at) => 100 + at).map((id) =>
        id < from ? { id, by: 'monolith', jobs: 0 } : { id, by: 'service', jobs: 1 },
      ),
    );
    expect(woken.length).toBeGreaterThan(before);
  });
});

test('an event that comes ten times at once has its effect once, and is dispatched again by each that comes later', async () => {
  const one = event(10_000, { side: 'service', epoch: 2 });
  const all = await Promise.all(Array.from({ length: 10 }, () => handle(one)));
  expect(all.filter((outcome) => outcome === 'handled')).toHaveLength(1);
  expect((await outcomes()).filter(({ id }) => id === 10_000)).toEqual([{ id: 10_000, by: 'service', jobs: 1 }]);
  dispatched.length = 0;
  expect(await handle(one)).toBe('handled before');
  expect(dispatched).toHaveLength(1);
});

test('the ids of one account’s notifications follow the order of their commits', async () => {
  const writing = Promise.all(
    Array.from({ length: 30 }, (_, at) => handle(event(20_000 + at, { side: 'service', epoch: 2 }, 77))),
  );
  let over = false;
  void writing.then(() => {
    over = true;
  });
  const seen = new Set<number>();
  let largest = 0;
  while (!over) {
    for (const { id } of await select<{ id: number }>(
      pool,
      'SELECT id FROM notifications WHERE account_id = 77 ORDER BY id',
    )) {
      if (seen.has(id)) continue;
      expect(id).toBeGreaterThan(largest);
      seen.add(id);
      largest = id;
    }
  }
  await writing;
  const [mailbox] = await select<{ unread: number }>(
    pool,
    'SELECT unread FROM notification_mailboxes WHERE account_id = 77',
  );
  expect(mailbox?.unread).toBe(30);
});
