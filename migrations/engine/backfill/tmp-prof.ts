import mysql from 'mysql2/promise';
import { mapped, prepareTarget } from '../apply/fixture.ts';
import { createApplyPool, createReadPool } from '../apply/session.ts';
import { createChunkReader } from './read-chunk.ts';
import { rowStatements } from '../apply/row-statements.ts';
import { readVersions } from '../apply/versions.ts';
const base = process.argv[2]!; const N = 50_000;
const c = await mysql.createConnection({ uri: base, charset: 'utf8mb4', multipleStatements: true });
for (const d of ['p3s', 'p3t']) await c.query(`DROP DATABASE IF EXISTS ${d}; CREATE DATABASE ${d} CHARACTER SET utf8mb4`);
const ddl = `(id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(120) NOT NULL, descr TEXT, price DECIMAL(10,2), cents INT, cat VARCHAR(40), at DATETIME(6), flag TINYINT, KEY(cat))`;
await c.query(`CREATE TABLE p3s.a ${ddl}; CREATE TABLE p3t.a ${ddl}; CREATE TABLE p3t.b ${ddl}`);
for (let i = 0; i < N; i += 1000) await c.query('INSERT INTO p3s.a VALUES ?', [Array.from({ length: 1000 }, (_, j) => [i + j + 1, 'product ' + (i + j), 'a description of some length '.repeat(4), '12.50', 1250, 'shoes' + (i % 50), '2026-01-01 10:00:00.123456', 1])]);
const u = (d: string) => { const x = new URL(base); x.pathname = '/' + d; return x.href; };
const source = createReadPool(u('p3s')), target = createApplyPool(u('p3t'));
await prepareTarget(target);
const table = await mapped({ source, sourceDatabase: 'p3s', target, targetDatabase: 'p3t' }, { source: 'a' });
const reader = createChunkReader(table); const st = rowStatements(table);
for (const B of [1000, 5000]) for (let r = 0; r < 2; r++) {
  await c.query('TRUNCATE p3t.a; TRUNCATE p3t.b');
  const T: Record<string, number> = {}; const add = (k: string, s: number) => { T[k] = (T[k] ?? 0) + performance.now() - s; };
  let last: any = null; const conn = await target.getConnection(); let s0 = performance.now();
  await conn.query('INSERT INTO b SELECT * FROM p3s.a'); add('insert-select', s0);
  for (;;) {
    let s = performance.now(); const ch = await reader.read(source, { after: last, upTo: null }, B); add('read', s); if (!ch.lastKey) break; last = ch.lastKey;
    await conn.query('START TRANSACTION');
    s = performance.now(); await readVersions(conn, ch.rows.map(({ keyText }) => ({ table: 'a', keyText })), 'none'); add('pre', s);
    const json = `[${ch.rows.map((x) => x.json).join(',')}]`;
    if (r === 0) { s = performance.now(); await conn.query(st.insert, [json]); add('insert', s); }
    else {
      s = performance.now();
      const parsed = ch.rows.map((x) => JSON.parse(x.json) as (string | null)[]); add('parse', s);
      s = performance.now(); const sql = 'INSERT INTO a (id,name,descr,price,cents,cat,at,flag) VALUES ' + parsed.map((v) => '(' + v.map((t) => (t === null ? 'NULL' : mysql.escape(t))).join(',') + ')').join(','); add('build', s);
      s = performance.now(); await conn.query(sql); add('values', s);
    }
    s = performance.now(); await readVersions(conn, ch.rows.map(({ keyText }) => ({ table: 'a', keyText })), 'share'); add('post', s);
    s = performance.now(); await conn.query('COMMIT'); add('commit', s);
  }
  conn.release();
  console.log(B, r ? 'values' : 'json_table', Object.fromEntries(Object.entries(T).map(([k, v]) => [k, (v / N * 1000).toFixed(2) + ' us/row'])));
}
await source.end(); await target.end(); await c.query('DROP DATABASE p3s; DROP DATABASE p3t'); await c.end();
