import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseSliceFile, type Slice } from '@strangler/platform/contracts/slice-file.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { rowsOf } from '../schema/queryable.ts';
import { type PreflightReport, preflight } from './preflight.ts';

let databases: FreshDatabase[];
let source: Pool;
let target: Pool;
let admin: Pool;
let folder: string;

const sliceOf = (tables: string): Slice => {
  const text = `slice: catalog\nservice: catalog\nroutes: [ GET /a ]\ntables:\n${tables}`;
  const { slice, faults } = parseSliceFile(text, 'slice.yaml');
  if (slice === null) throw new Error(JSON.stringify(faults));
  return slice;
};
const look = (tables: string): Promise<PreflightReport> =>
  preflight({ slice: sliceOf(tables), folder, source, target });
/** `rule: reason` of each refusal. */
const refusals = ({ findings }: PreflightReport): string[] =>
  findings.filter(({ level }) => level === 'refuse').map(({ rule, reason }) => `${rule}: ${reason}`);
const rules = (report: PreflightReport): string[] =>
  [...new Set(report.findings.map(({ level, rule }) => `${level} ${rule}`))].sort();

beforeAll(async () => {
  databases = [await freshDatabase('pre_source'), await freshDatabase('pre_target')];
  source = createPool(databases[0]!.url);
  target = createPool(databases[1]!.url);
  admin = createPool(databases[0]!.adminUrl);
  folder = await mkdtemp(join(tmpdir(), 'preflight-'));
  for (const pool of [source, target]) {
    await pool.query(
      `CREATE TABLE good (id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(40) NOT NULL, price DECIMAL(10,2), note TEXT NULL) COLLATE utf8mb4_general_ci`,
    );
  }
  await source.query(`INSERT INTO good VALUES (1, 'Ann Bee', 1.5, NULL), (2, 'Cy Dee', 2, 'x')`);
});
afterAll(async () => {
  await Promise.all([source.end(), target.end(), admin.end()]);
  for (const database of databases) await database.drop();
  await rm(folder, { recursive: true });
});

describe('preflight', () => {
  test('has nothing against a table that can be moved as it is, and spells the mapping as the tables do', async () => {
    const report = await look('  - { source: good }');
    expect(refusals(report)).toEqual([]);
    expect(report.tables[0]!.mapping).toEqual({
      slice: 'catalog',
      source: 'good',
      target: 'good',
      key: ['id'],
      targetKey: ['id'],
      columns: ['id', 'name', 'price', 'note'].map((column) => ({ target: column, from: 'column', column })),
      captured: ['id', 'name', 'price', 'note'],
      transform: null,
    });
  });

  test('tells everything at once that stands in the way, with a remedy each', async () => {
    await source.query('CREATE TABLE keyless (id INT)');
    await source.query('CREATE TABLE old (id INT PRIMARY KEY) ENGINE=MyISAM');
    await source.query('CREATE TABLE parent (id INT PRIMARY KEY)');
    await source.query(
      `CREATE TABLE child (id INT PRIMARY KEY, parent_id INT, spot POINT, wide BIGINT, note VARCHAR(100), kind ENUM('a','b'), at DATETIME(6),
         FOREIGN KEY by_parent (parent_id) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE SET NULL)`,
    );
    await source.query('CREATE VIEW seen AS SELECT id FROM parent');
    await target.query('CREATE TABLE keyless (id INT PRIMARY KEY)');
    await target.query('CREATE TABLE old (id INT PRIMARY KEY)');
    await target.query('CREATE TABLE seen (id INT PRIMARY KEY)');
    await target.query(
      `CREATE TABLE child (id INT PRIMARY KEY, parent_id INT NOT NULL, spot POINT, wide INT, note VARCHAR(50), kind ENUM('a'), at DATETIME, owner INT NOT NULL)`,
    );
    const report = await look(
      '  - { source: keyless }\n  - { source: old }\n  - { source: child }\n  - { source: seen }\n  - { source: nowhere }\n  - { source: parent }',
    );
    expect(rules(report)).toEqual(
      expect.arrayContaining([
        'refuse column-type-unsupported',
        'refuse column-unmapped',
        'refuse foreign-key-cascade',
        'refuse no-primary-key',
        'refuse not-a-base-table',
        'refuse not-innodb',
        'refuse table-missing',
      ]),
    );
    expect(refusals(report).filter((line) => line.startsWith('table-missing'))).toHaveLength(3);
    expect(refusals(report).join('\n')).toContain('ON DELETE CASCADE, ON UPDATE SET NULL');
    expect(report.findings.every(({ remedy }) => remedy.length > 5)).toBe(true);

    const spared = await look(
      '  - { source: child, columns: { id: id, parent_id: parent_id, wide: wide, note: note, kind: kind, at: at, owner: { sql: "1" } } }',
    );
    const problems = refusals(spared).filter((line) => line.startsWith('column-incompatible'));
    expect(problems.map((line) => line.replace(/^column-incompatible: (\w+).*$/s, '$1')).sort()).toEqual([
      'at',
      'kind',
      'note',
      'parent_id',
      'wide',
    ]);
    expect(refusals(spared).filter((line) => line.startsWith('column-type'))).toEqual([]);
  });

  test('tries SQL expressions on both servers, and refuses what depends on more than the row', async () => {
    await target.query(
      'CREATE TABLE priced (id BIGINT UNSIGNED PRIMARY KEY, cents BIGINT, a INT, b INT, c VARCHAR(50)) COLLATE utf8mb4_general_ci',
    );
    const table = (c: string) =>
      `  - { source: good, target: priced, columns: { id: ID, cents: { sql: "ROUND(price * 100)" }, ${c} } }`;
    expect(refusals(await look(table(`c: { sql: "CONCAT(name, ' -- it''s price')" }`)))).toEqual([]);
    const bad = await look(table('a: { sql: "nothing + 1" }, b: { sql: "RAND()" }, c: { sql: "(SELECT 1)" }'));
    expect(refusals(bad)).toHaveLength(3);
    expect(refusals(bad)[0]).toMatch(/a: .*nothing/);
    expect(bad.tables[0]!.mapping.captured).toEqual(['id', 'price']);
  });

  test('loads a transform and tries on rows whether its inverse is one', async () => {
    await target.query('CREATE TABLE person (id BIGINT UNSIGNED PRIMARY KEY, first VARCHAR(40), last VARCHAR(40))');
    await mkdir(join(folder, 'deep'));
    const module = (join: string) => `export const transform = {
      sourceColumns: ['name'], targetColumns: ['first', 'last'],
      toTarget: ({ name }) => ({ first: name.split(' ')[0], last: name.split(' ')[1] }),
      toSource: ({ first, last }) => ({ name: ${join} }),
    };`;
    await writeFile(join(folder, 'good.mjs'), module("first + ' ' + last"));
    await writeFile(join(folder, 'bad.mjs'), module("first + '_' + last"));
    await writeFile(join(folder, 'none.mjs'), 'export const other = 1;');
    const table = (file: string) => `  - { source: good, target: person, columns: { id: id }, transform: ./${file} }`;
    const fine = await look(table('good.mjs'));
    expect(refusals(fine)).toEqual([]);
    expect(fine.tables[0]!.mapping.captured).toEqual(['id', 'name']);
    expect(refusals(await look(table('bad.mjs')))).toEqual([
      'transform-invalid: toSource(toTarget(row)) does not give back name of row 1: expected "Ann Bee", found "Ann_Bee"',
    ]);
    expect(refusals(await look(table('none.mjs')))[0]).toMatch(/^transform-invalid: .*none\.mjs/);
    expect(refusals(await look(table('missing.mjs')))[0]).toMatch(/^transform-invalid: .*missing\.mjs/);
    expect(refusals(await look(table('../../x.mjs')))[0]).toMatch(/outside of it/);
  });

  test('refuses a key that one side takes for one row and the other for two, with an example', async () => {
    const table = async (pool: Pool, name: string, collation: string) =>
      await pool.query(`CREATE TABLE ${name} (code VARCHAR(20) COLLATE ${collation} PRIMARY KEY, n INT)`);
    await table(source, 'loose', 'utf8mb4_general_ci');
    await table(target, 'loose', 'utf8mb4_bin');
    await table(source, 'strict', 'utf8mb4_bin');
    await table(target, 'strict', 'utf8mb4_unicode_ci');
    await table(source, 'same', 'utf8mb4_unicode_ci');
    await table(target, 'same', 'utf8mb4_unicode_ci');
    await table(source, 'close', 'utf8mb4_unicode_ci');
    await table(target, 'close', 'utf8mb4_unicode_520_ci');
    await source.query('CREATE TABLE narrow (code VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY)');
    await table(target, 'narrow', 'utf8mb4_bin');
    const report = await look(
      ['loose', 'strict', 'same', 'close', 'narrow'].map((name) => `  - { source: ${name} }`).join('\n'),
    );
    expect(refusals(report)).toEqual([
      `collation-differs: the key column code compares by utf8mb4_bin, code by utf8mb4_general_ci: 'a' and 'A' are one value in the source and two in the target`,
      `collation-differs: the key column code compares by utf8mb4_unicode_ci, code by utf8mb4_bin: 'a' and 'A' are one value in the target and two in the source`,
      expect.stringMatching(/^collation-differs: .*utf8mb4_unicode_520_ci.* are one value in the (source|target)/),
    ]);
  });

  test('refuses a unique key of the target that takes two values of the source for one', async () => {
    await source.query(
      `CREATE TABLE member (id INT PRIMARY KEY, login VARCHAR(20) COLLATE utf8mb4_bin UNIQUE, mail VARCHAR(20) COLLATE utf8mb4_general_ci UNIQUE)`,
    );
    await target.query(
      `CREATE TABLE member (id INT PRIMARY KEY, login VARCHAR(20) COLLATE utf8mb4_general_ci UNIQUE, mail VARCHAR(20) COLLATE utf8mb4_bin UNIQUE)`,
    );
    expect(refusals(await look('  - { source: member }'))).toEqual([
      `collation-differs: its unique key login compares login by utf8mb4_general_ci, the source by utf8mb4_bin: 'a' and 'A' are one value in the target and two in the source`,
    ]);
  });

  test('refuses binary values that the target would fill up, and a target column that nothing is mapped to', async () => {
    await source.query('CREATE TABLE token (id INT PRIMARY KEY, secret VARBINARY(16))');
    await target.query('CREATE TABLE token (id INT PRIMARY KEY, secret BINARY(16), owner INT NOT NULL)');
    expect(refusals(await look('  - { source: token }'))).toEqual([
      'column-unmapped: token.owner is NOT NULL, has no default, and nothing is mapped to it',
      expect.stringMatching(/^column-incompatible: .*BINARY fills values up with zero bytes/),
    ]);
  });

  test('names the triggers of the target, and takes columns whose names differ in case for the same', async () => {
    await source.query('CREATE TABLE watched (Id INT PRIMARY KEY, unitPrice INT)');
    await target.query('CREATE TABLE watched (ID INT PRIMARY KEY, UNITPRICE INT)');
    await target.query('CREATE TRIGGER theirs BEFORE INSERT ON watched FOR EACH ROW SET NEW.UNITPRICE = 1');
    const report = await look('  - { source: watched }');
    expect(refusals(report)).toEqual([]);
    const present = report.findings.find(({ rule }) => rule === 'trigger-present');
    expect(present).toMatchObject({ level: 'warn', reason: expect.stringContaining('theirs') });
    expect(report.tables[0]!.mapping.columns).toEqual([
      { target: 'ID', from: 'column', column: 'Id' },
      { target: 'UNITPRICE', from: 'column', column: 'unitPrice' },
    ]);
  });

  test('refuses a row that is too large to be captured, and warns where one may become so', async () => {
    const [{ packet }] = (await rowsOf<{ packet: number }>(source, 'SELECT @@max_allowed_packet AS packet')) as [
      { packet: number },
    ];
    for (const pool of [source, target])
      await pool.query('CREATE TABLE picture (id INT PRIMARY KEY, one LONGBLOB, two LONGTEXT)');
    const oversize = async () =>
      (await look('  - { source: picture }')).findings.filter(({ rule }) => rule === 'row-too-large');
    await source.query(
      `INSERT INTO picture VALUES (1, 'x', 'y'), (2, REPEAT('x', ${Math.floor(packet * 0.3)}), REPEAT('y', ${Math.floor(packet * 0.3)}))`,
    );
    expect(await oversize()).toMatchObject([
      { level: 'warn', reason: expect.stringMatching(/one, two may hold more\. No row does today/) },
    ]);
    await source.query(`UPDATE picture SET two = REPEAT('"', ${Math.floor(packet * 0.3)}) WHERE id = 2`);
    expect(await oversize()).toMatchObject([
      { level: 'refuse', reason: expect.stringContaining('the row 2 is too large') },
    ]);
  });

  test('says in one line which server and database cannot be reached, and never the password', async () => {
    const url = new URL(databases[1]!.url);
    const wrong = (change: (url: URL) => void): string => {
      const changed = new URL(url);
      changed.password = 'Not-a-password-1';
      change(changed);
      return changed.href;
    };
    const cases: [string, RegExp][] = [
      [wrong((one) => Object.assign(one, { port: '1' })), /^target 127\.0\.0\.1:1\/\w+: .*ECONNREFUSED/],
      [wrong(() => {}), /^target 127\.0\.0\.1:\d+\/\w+: .*Access denied/],
      [
        wrong((one) => Object.assign(one, { hostname: 'no-such-host.invalid' })),
        /^target no-such-host\.invalid:\d+\/\w+: .*ENOTFOUND/,
      ],
      [url.href.replace(/\/\w+$/, '/strangler_no_such'), /^target 127\.0\.0\.1:\d+\/strangler_no_such: /],
    ];
    for (const [address, expected] of cases) {
      const pool = createPool(address);
      const error: Error = await preflight({
        slice: sliceOf('  - { source: good }'),
        folder,
        source,
        target: pool,
      }).then(
        () => new Error('it was reached'),
        (cause: Error) => cause,
      );
      await pool.end();
      expect(error.message).toMatch(expected);
      expect(error.message).not.toMatch(/\n|Not-a-password/);
      expect(error.name).toBe('ServerUnreachable');
      expect(error.message).not.toContain(url.password);
    }
  });

  test('names each privilege that the accounts lack, and who may TRUNCATE', async () => {
    const [from, to] = databases.map(({ name }) => name);
    const poor = `p_${from!.slice(-10)}`;
    await admin.query(`CREATE USER '${poor}'@'%' IDENTIFIED BY 'Secret-1234567'`);
    try {
      await admin.query(`GRANT SELECT ON \`${from}\`.* TO '${poor}'@'%'`);
      await admin.query(`GRANT SELECT, INSERT ON \`${to}\`.good TO '${poor}'@'%'`);
      const as = (database: FreshDatabase) => {
        const url = new URL(database.url);
        url.username = poor;
        url.password = 'Secret-1234567';
        return createPool(url.href);
      };
      const [poorSource, poorTarget] = [as(databases[0]!), as(databases[1]!)];
      try {
        const report = await preflight({
          slice: sliceOf('  - { source: good }'),
          folder,
          source: poorSource,
          target: poorTarget,
        });
        const lacking = refusals(report)
          .filter((line) => line.startsWith('privilege-missing'))
          .join('\n');
        for (const what of [
          `lacks TRIGGER on ${from}.good`,
          `lacks LOCK TABLES on ${from}.*`,
          `lacks CREATE on ${from}.*`,
        ])
          expect(lacking).toContain(what);
        for (const what of [`lacks UPDATE on ${to}.good`, `lacks DELETE on ${to}.good`, `lacks CREATE on ${to}.*`])
          expect(lacking).toContain(what);
        expect(lacking).not.toContain(`lacks SELECT on ${from}.good`);
        expect(lacking).not.toContain(`lacks INSERT on ${to}.good`);
        expect(rules(report)).toContain('warn truncate-possible');
      } finally {
        await Promise.all([poorSource.end(), poorTarget.end()]);
      }
      await admin.query(`GRANT DROP ON \`${from}\`.good TO '${poor}'@'%'`);
      const seen = await preflight({ slice: sliceOf('  - { source: good }'), folder, source: admin, target });
      expect(seen.findings.find(({ rule }) => rule === 'truncate-possible')?.reason).toContain(`'${poor}'@'%'`);
      expect(refusals(seen)).toEqual([]);
    } finally {
      await admin.query(`DROP USER '${poor}'@'%'`);
    }
  });

  test('reads grants through a role', async () => {
    const [from] = databases.map(({ name }) => name);
    const [role, user] = [`r_${from!.slice(-10)}`, `u_${from!.slice(-10)}`];
    await admin.query(`CREATE ROLE ${role}`);
    await admin.query(`CREATE USER '${user}'@'%' IDENTIFIED BY 'Secret-1234567'`);
    const url = new URL(databases[0]!.url);
    url.username = user;
    url.password = 'Secret-1234567';
    try {
      await admin.query(`GRANT ALL ON \`${from}\`.* TO ${role}`);
      await admin.query(`GRANT ${role} TO '${user}'@'%'`);
      const [{ version }] = (await rowsOf<{ version: string }>(admin, 'SELECT VERSION() AS version')) as [
        { version: string },
      ];
      await admin.query(
        /mariadb/i.test(version)
          ? `SET DEFAULT ROLE ${role} FOR '${user}'@'%'`
          : `SET DEFAULT ROLE ${role} TO '${user}'@'%'`,
      );
      const pool = createPool(url.href);
      try {
        const report = await preflight({ slice: sliceOf('  - { source: good }'), folder, source: pool, target });
        expect(refusals(report)).toEqual([]);
      } finally {
        await pool.end();
      }
    } finally {
      await admin.query(`DROP USER '${user}'@'%'`);
      await admin.query(`DROP ROLE ${role}`);
    }
  });
});
