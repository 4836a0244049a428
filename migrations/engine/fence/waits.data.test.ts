import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { fenceErrno } from '@strangler/platform/contracts/fence-refusal.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';
import type { Connection } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';
import { holderText } from './fence-holders.ts';
import { readFence } from './fence-state.ts';
import { answerOf, type FencedDatabase, fencedDatabase, slice } from './fenced.fixture.ts';
import { closeFence, FenceEpochError } from './move-fence.ts';

let db: FencedDatabase;
let writer: Connection;
let other: Connection;

const refused = String(fenceErrno);
const stateNow = async () => (await readFence(db.pool, slice))?.state;
const idOf = async (session: Connection) =>
  (await rowsOf<{ id: number }>(session, 'SELECT CONNECTION_ID() AS id'))[0]!.id;

/** How many sessions wait for a row lock in this database. */
const waiting = async (): Promise<number> => {
  const rows = await rowsOf<{ state: string }>(
    db.admin,
    `SELECT x.trx_state AS state FROM information_schema.INNODB_TRX x
     JOIN information_schema.PROCESSLIST p ON p.ID = x.trx_mysql_thread_id AND p.DB = DATABASE()
     WHERE x.trx_state = 'LOCK WAIT'`,
  );
  return rows.length;
};

beforeAll(async () => {
  db = await fencedDatabase('fence_waits');
  const maker = await db.writer();
  await maker.query('CREATE TABLE item (id INT PRIMARY KEY, n INT NOT NULL)');
  await maker.query('CREATE TABLE free (id INT PRIMARY KEY, n INT NOT NULL)');
  await db.fence(['item']);
});
afterAll(() => db.drop());
beforeEach(async () => {
  writer = await db.writer();
  other = await db.writer();
  await db.open();
  await writer.query('REPLACE INTO item VALUES (1, 0), (2, 0)');
});
afterEach(() => {
  writer.destroy();
  other.destroy();
});

describe('closing waits', () => {
  test('for a transaction that has written, and leaves the fence open when it does not end, naming who it is', async () => {
    await writer.beginTransaction();
    await writer.query('UPDATE item SET n = 1 WHERE id = 1');
    const busy = await db.close({ waitMs: 1_000 });
    expect(busy).toMatchObject({ kind: 'busy', fence: { state: 'open' } });
    const [holder] = busy.kind === 'busy' ? (busy.holders ?? []) : [];
    expect(holder).toMatchObject({ kind: 'transaction', connection: await idOf(writer) });
    expect(holderText(holder!)).toMatch(new RegExp(`^connection ${await idOf(writer)} of ${db.name}@.* for \\d+ s$`));
    // Nobody waits any more, and writers run on.
    expect(await answerOf(other, 'UPDATE item SET n = 2 WHERE id = 2')).toBe('ok 1');

    const closing = db.close({ waitMs: 10_000 });
    await eventually(async () => (await waiting()) === 1);
    // A later writer queues behind it, and is refused.
    const late = answerOf(other, 'UPDATE item SET n = 3 WHERE id = 2');
    await eventually(async () => (await waiting()) === 2);
    await writer.commit();
    expect(await closing).toMatchObject({ kind: 'moved', fence: { state: 'closed' } });
    expect(await late).toBe(refused);
    expect(await rowsOf(db.pool, 'SELECT id, n FROM item ORDER BY id')).toEqual([
      { id: 1, n: 1 },
      { id: 2, n: 2 },
    ]);
  });

  test('for a transaction, and names it also while somebody runs a statement that MySQL cannot tell', async () => {
    await writer.beginTransaction();
    await writer.query('UPDATE item SET n = 1 WHERE id = 1');
    await other.beginTransaction();
    await other.query('SELECT n FROM free');
    const running = other.query("SELECT SLEEP(30), '\u{1F600}'").catch((error: Error) => error);
    const busy = await db.close({ waitMs: 500 });
    await db.admin.query(`KILL ${other.threadId}`);
    await running;
    expect(busy).toMatchObject({ kind: 'busy', holders: [{ kind: 'transaction', connection: await idOf(writer) }] });
    expect(holderText((busy.kind === 'busy' ? busy.holders : null)![0]!)).toMatch(/ for \d+ s$/);
  });

  test('until its own connection is lost, and is then not done later behind its back', async () => {
    await writer.beginTransaction();
    await writer.query('UPDATE item SET n = 1 WHERE id = 1');
    const closing = db.close({ waitMs: 10_000 });
    await eventually(async () => (await waiting()) === 1);
    const closer = await eventually(async () => {
      const [found] = await rowsOf<{ id: number }>(
        db.admin,
        `SELECT x.trx_mysql_thread_id AS id FROM information_schema.INNODB_TRX x
         JOIN information_schema.PROCESSLIST p ON p.ID = x.trx_mysql_thread_id AND p.DB = DATABASE()
         WHERE x.trx_state = 'LOCK WAIT'`,
      );
      return found ?? null;
    });
    await db.admin.query(`KILL ${closer.id}`);
    expect(await closing).toMatchObject({ kind: 'busy', fence: { state: 'open' } });
    await writer.commit();
    expect(await answerOf(other, 'UPDATE item SET n = 2 WHERE id = 1')).toBe('ok 1');
    expect(await db.close()).toMatchObject({ kind: 'moved' });
  });

  test('with an account that may not see who holds it, and says so', async () => {
    await writer.beginTransaction();
    await writer.query('UPDATE item SET n = 1 WHERE id = 1');
    const epoch = (await readFence(db.pool, slice))!.epoch;
    const busy = await closeFence(db.pool, { slice, epoch, owner: 'service', waitMs: 100 });
    expect(busy).toMatchObject({ kind: 'busy', holders: null });
    expect(await stateNow()).toBe('open');
  });

  test('for a transaction that has read only: never', async () => {
    await writer.beginTransaction();
    await writer.query('SELECT * FROM item FOR UPDATE');
    expect(await db.close()).toMatchObject({ kind: 'moved' });
  });

  test.each(['REPEATABLE READ', 'READ COMMITTED', 'SERIALIZABLE'])(
    'not for an older snapshot at %s, which is refused all the same',
    async (level) => {
      await writer.query(`SET SESSION TRANSACTION ISOLATION LEVEL ${level}`);
      await writer.beginTransaction();
      await writer.query('SELECT n FROM free');
      await writer.query('SELECT state FROM strangler_fence WHERE slice = ?', ['elsewhere']);
      expect(await db.close({ waitMs: 500 })).toMatchObject({ kind: 'moved' });
      expect(await answerOf(writer, 'UPDATE item SET n = 9 WHERE id = 1')).toBe(refused);
      await writer.commit();
      expect(await rowsOf(db.pool, 'SELECT n FROM item WHERE id = 1')).toEqual([{ n: 0 }]);
    },
  );

  test('not for an older snapshot of MariaDB that must not see newer rows: it is refused by another error', async () => {
    if (db.server.dialect !== 'mariadb') return;
    await writer.query('SET SESSION innodb_snapshot_isolation = ON');
    await writer.beginTransaction();
    await writer.query('SELECT n FROM item');
    expect(await db.close()).toMatchObject({ kind: 'moved' });
    expect(['1020', refused]).toContain(await answerOf(writer, 'UPDATE item SET n = 9 WHERE id = 1'));
    await writer.commit();
    expect(await rowsOf(db.pool, 'SELECT n FROM item WHERE id = 1')).toEqual([{ n: 0 }]);
  });

  test('for a prepared XA transaction, whose session may be gone, until it is committed or rolled back', async () => {
    const xid = `'${db.name}'`;
    await writer.query(`XA START ${xid}`);
    await writer.query('UPDATE item SET n = 7 WHERE id = 1');
    await writer.query(`XA END ${xid}`);
    expect(await db.close({ waitMs: 200 })).toMatchObject({ kind: 'busy', fence: { state: 'open' } });
    await writer.query(`XA PREPARE ${xid}`);
    const gone = await idOf(writer);
    writer.destroy();
    await eventually(
      async () =>
        (await rowsOf(db.admin, 'SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ?', [gone])).length === 0,
    );
    expect(await db.close({ waitMs: 200 })).toMatchObject({
      kind: 'busy',
      holders: [{ kind: 'prepared', name: db.name }],
      fence: { state: 'open' },
    });
    const closing = db.close({ waitMs: 10_000 });
    // The server may still be putting it away.
    await eventually(async () => (await answerOf(other, `XA COMMIT ${xid}`)) === 'ok 0');
    expect(await closing).toMatchObject({ kind: 'moved' });
    expect(await rowsOf(db.pool, 'SELECT n FROM item WHERE id = 1')).toEqual([{ n: 7 }]);
  });

  test('for one that prepares while it waits', async () => {
    const xid = `'${db.name}b'`;
    await writer.query(`XA START ${xid}`);
    await writer.query('UPDATE item SET n = 8 WHERE id = 1');
    await writer.query(`XA END ${xid}`);
    const closing = db.close({ waitMs: 3_000 });
    await eventually(async () => (await waiting()) === 1);
    await writer.query(`XA PREPARE ${xid}`);
    const outcome = await closing;
    expect(outcome).toMatchObject({ kind: 'busy', fence: { state: 'open', owner: 'monolith' } });
    expect(await answerOf(other, 'UPDATE item SET n = 9 WHERE id = 2')).toBe('ok 1');
    await writer.query(`XA COMMIT ${xid}`);
    expect(await db.close()).toMatchObject({ kind: 'moved' });
  });

  test.each([0, 1])(
    'for a session with LOCK TABLES, autocommit %d, and lets nothing of it through later',
    async (autocommit) => {
      await writer.query(`SET autocommit = ${autocommit}`);
      await writer.query('LOCK TABLES item WRITE');
      for (const sql of [
        'INSERT INTO item VALUES (5, 1)',
        'REPLACE INTO item VALUES (5, 2)',
        'UPDATE item SET n = 3',
        'DELETE FROM item WHERE id = 5',
      ]) {
        expect([sql, await answerOf(writer, sql)]).toEqual([sql, expect.stringMatching(/^ok [1-9]/)]);
      }
      const busy = await db.close({ waitMs: 300 });
      if (busy.kind === 'busy') {
        expect(await stateNow()).toBe('open');
        expect(busy.holders?.map(({ connection }) => connection) ?? []).toEqual(
          // MariaDB does not tell who has a table under LOCK TABLES.
          busy.holders?.length === 0 ? [] : [await idOf(writer)],
        );
        expect(await answerOf(writer, 'UPDATE item SET n = 4')).toMatch(/^ok/);
      } else {
        expect(await answerOf(writer, 'UPDATE item SET n = 4')).toBe(refused);
      }
      await writer.query('COMMIT');
      await writer.query('UNLOCK TABLES');
      expect(await db.close()).toMatchObject({ kind: 'moved' });
      expect(await answerOf(writer, 'UPDATE item SET n = 4')).toBe(refused);
      await writer.query('ROLLBACK');
      await writer.query('SET autocommit = 1');
    },
  );

  test('anew after a deadlock, of which it is always the victim and no writer', async () => {
    let deadlocks = 0;
    for (let round = 0; round < 5; round += 1) {
      await writer.beginTransaction();
      await other.beginTransaction();
      await writer.query('UPDATE item SET n = n + 1 WHERE id = 1');
      await other.query('SELECT * FROM item WHERE id = 2 FOR UPDATE');
      const blocked = answerOf(writer, 'UPDATE item SET n = n + 1 WHERE id = 2');
      await eventually(async () => (await waiting()) === 1);
      const closing = db.close({ waitMs: 10_000 });
      await eventually(async () => (await waiting()) === 2);
      expect(await answerOf(other, 'UPDATE item SET n = n + 1 WHERE id = 2')).toBe('ok 1');
      await other.commit();
      expect(await blocked).toBe('ok 1');
      await writer.commit();
      const outcome = await closing;
      expect(outcome).toMatchObject({ kind: 'moved' });
      deadlocks += outcome.deadlocks;
      await db.open();
    }
    expect(deadlocks).toBeGreaterThanOrEqual(5);
    expect(await rowsOf(db.pool, 'SELECT n FROM item WHERE id <= 2 ORDER BY id')).toEqual([{ n: 5 }, { n: 10 }]);
  });
});

describe('opening', () => {
  test('waits for the pipe, and ends a refused transaction that does not end itself only when told to', async () => {
    await db.close();
    const applier = await db.applier();
    await applier.beginTransaction();
    await applier.query('UPDATE item SET n = 1 WHERE id = 1');
    expect(await db.open({ waitMs: 200 })).toMatchObject({ kind: 'busy', fence: { state: 'closed' } });
    await applier.commit();

    await writer.beginTransaction();
    expect(await answerOf(writer, 'UPDATE item SET n = 2 WHERE id = 1')).toBe(refused);
    expect(await db.open({ waitMs: 1_000 })).toMatchObject({
      kind: 'busy',
      holders: [{ kind: 'transaction', connection: await idOf(writer) }],
    });
    // Whoever opens tries again: a busy machine may take longer than a second to roll back.
    await eventually(async () =>
      expect(await db.open({ waitMs: 200, evict: true })).toMatchObject({ kind: 'moved', fence: { state: 'open' } }),
    );
    await expect(writer.query('SELECT 1')).rejects.toThrow();
    expect(await answerOf(other, 'UPDATE item SET n = 3 WHERE id = 1')).toBe('ok 1');
  });
});

test('an epoch that is over moves nothing', async () => {
  const { fence } = await db.close();
  await expect(db.open({ epoch: fence.epoch - 1 })).rejects.toThrow(FenceEpochError);
  await expect(db.close({ epoch: fence.epoch - 1 })).rejects.toThrow(/expected an epoch of at least \d+/);
  expect(await readFence(db.pool, slice)).toEqual(fence);
  await db.open({ epoch: fence.epoch, reason: 'called off' });
  expect(await readFence(db.pool, slice)).toMatchObject({ state: 'open', closedAt: null, reason: 'called off' });
});
