import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { preflight } from '@strangler/migrations/engine/preflight/preflight.ts';
import { preflightReverse } from '@strangler/migrations/engine/preflight/preflight-reverse.ts';
import { parseSliceFile } from '@strangler/platform/contracts/slice-file.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { rotate } from '@strangler/platform/outbox/rotation.ts';
import { installOutbox, sourceUuid } from '@strangler/platform/outbox/schema.ts';
import { type FreshDatabase, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { grantsFor, schemas } from './accounts.ts';

let shop: FreshDatabase;
let catalog: FreshDatabase;
let admin: Pool;
const user = `t_${randomBytes(5).toString('hex')}`;
const password = randomBytes(12).toString('hex');
const { slice } = parseSliceFile(
  'slice: catalog\nservice: catalog\nroutes: [ GET /a ]\ntables: [ { source: products } ]',
  'slice.yaml',
);

beforeAll(async () => {
  [shop, catalog] = [await freshDatabase('shop'), await freshDatabase('catalog')];
  admin = createPool(shop.adminUrl);
  await admin.query(`CREATE USER '${user}'@'%' IDENTIFIED BY '${password}'`);
});
afterAll(async () => {
  await admin.query(`DROP USER IF EXISTS '${user}'@'%'`);
  await admin.end();
  for (const database of [shop, catalog]) await database.drop();
});

const giveRights = async (grants: readonly string[]): Promise<void> => {
  await admin.query(`REVOKE ALL PRIVILEGES, GRANT OPTION FROM '${user}'@'%'`);
  for (const grant of grants) await admin.query(`GRANT ${grant} TO '${user}'@'%'`);
};

/** A new session: what it may do is looked up when it begins. */
const asUser = async <T>(database: FreshDatabase, work: (db: Pool) => Promise<T>): Promise<T> => {
  const url = new URL(database.url);
  Object.assign(url, { username: user, password });
  const pool = createPool(url.href, { connectionLimit: 2 });
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
};

const grants = () => grantsFor(testServers().engine, { ...schemas, shop: shop.name, catalog: catalog.name });

describe('the relay', () => {
  beforeAll(() => giveRights(grants().relay));

  test('is given its rights before the outbox is there, and can keep it', async () => {
    await installOutbox(admin, { rowsPerPartition: 10, partitionsAhead: 1 });
    await admin.query(
      `INSERT INTO strangler_outbox (id, part, published, epoch, kind, topic, subject, subject_key, op, payload, headers, created_at)
       VALUES (25, 0, 1, 1, 'event', 'a.b.c', 'b', 'k', 'c', '{}', '{}', '2020-01-01')`,
    );
    await asUser(shop, async (db) => {
      expect(await sourceUuid(db)).toMatch(/^[0-9a-f-]{36}$/);
      const { added, dropped, left } = await rotate(db, { horizonMs: 1, rowsPerPartition: 10, partitionsAhead: 2 });
      expect([added.length > 0, dropped, left]).toEqual([true, ['p_below_10'], []]);
    });
  });

  test('has no right on any other table of the shop', async () => {
    await admin.query('CREATE TABLE secrets (id INT PRIMARY KEY)');
    await asUser(shop, async (db) => {
      for (const sql of [
        'SELECT * FROM secrets',
        'INSERT INTO secrets VALUES (1)',
        'LOCK TABLES secrets WRITE',
        'DROP TABLE secrets',
        'CREATE TABLE others (id INT)',
        'DROP TABLE strangler_outbox_lease',
        "UPDATE strangler_outbox_source SET uuid = ''",
      ]) {
        await expect(db.query(sql)).rejects.toThrow(/denied/);
      }
    });
  });
});

describe('the mover', () => {
  /** What preflight finds that an account with these rights lacks. */
  const lacking = async (rights: readonly string[]): Promise<string[]> => {
    await giveRights(rights);
    const findings = await asUser(shop, (source) =>
      asUser(catalog, async (target) => {
        const there = await preflight({ slice: slice!, folder: tmpdir(), source, target });
        const back = await preflightReverse({ slice: slice!, folder: tmpdir(), source: target, target: source });
        return [...there.findings, ...back.findings];
      }),
    );
    return findings.filter(({ rule }) => /privilege|barred/.test(rule)).map(({ reason }) => reason);
  };

  beforeAll(async () => {
    for (const { name } of [shop, catalog])
      await admin.query(`CREATE TABLE \`${name}\`.products (id INT PRIMARY KEY, name VARCHAR(20) NOT NULL)`);
  });

  test('has every right that preflight asks for', async () => {
    expect(await lacking(grants().mover)).toEqual([]);
  });

  test('has no right that preflight does not ask for', async () => {
    const all = grants().mover.flatMap((grant) => {
      const [privileges = '', on = ''] = grant.split(' ON ');
      return privileges.split(', ').map((privilege) => `${privilege} ON ${on}`);
    });
    expect(all.length).toBeGreaterThan(10);
    for (const left of all) {
      // Without SELECT there is no table to be seen, which is said otherwise.
      if (left.startsWith('SELECT')) continue;
      // Asked for where the end of a move is undone, by making foreign keys again.
      if (left.startsWith('REFERENCES')) continue;
      // Of the other services nothing is asked here.
      if (!left.includes(shop.name) && !left.includes(catalog.name)) continue;
      const found = await lacking(all.filter((one) => one !== left));
      expect([left, found.length > 0]).toEqual([left, true]);
    }
  });
});
