import { pino } from 'pino';
import mysql from 'mysql2/promise';
import { mapped, prepareTarget, rowMessage } from '../apply/fixture.ts';
import { createApplyPool, createReadPool } from '../apply/session.ts';
import { createApplier } from '../apply/applier.ts';
import { backfillTable } from './backfill.ts';
import { verifyTable } from '../verify/verify.ts';
import { installOutbox } from '@strangler/platform/outbox/schema.ts';
import { createSourceSide, createTargetSide } from '../verify/side.ts';
const base = process.argv[2]!; const N = 100_000;
const c = await mysql.createConnection({ uri: base, charset: 'utf8mb4', multipleStatements: true });
for (const d of ['p3s', 'p3t']) await c.query(`DROP DATABASE IF EXISTS ${d}; CREATE DATABASE ${d} CHARACTER SET utf8mb4`);
const ddl = `(id BIGINT UNSIGNED PRIMARY KEY, name VARCHAR(120) NOT NULL, descr TEXT, price DECIMAL(10,2), cents INT, cat VARCHAR(40), at DATETIME(6), flag TINYINT, KEY(cat))`;
await c.query(`CREATE TABLE p3s.a ${ddl}; CREATE TABLE p3t.a ${ddl}; CREATE TABLE p3t.b ${ddl}`);
for (let i = 0; i < N; i += 1000) await c.query('INSERT INTO p3s.a VALUES ?', [Array.from({ length: 1000 }, (_, j) => [i + j + 1, 'product ' + (i + j), 'a description of some length '.repeat(4), '12.50', 1250, 'shoes' + (i % 50), '2026-01-01 10:00:00.123456', 1])]);
await c.query('ANALYZE TABLE p3s.a');
const u = (d: string) => { const x = new URL(base); x.pathname = '/' + d; return x.href; };
const source = createReadPool(u('p3s')), target = createApplyPool(u('p3t')), readT = createReadPool(u('p3t'));
await prepareTarget(target);
const sadm = createApplyPool(u('p3s')); await installOutbox(sadm);
const table = await mapped({ source, sourceDatabase: 'p3s', target, targetDatabase: 'p3t' }, { source: 'a' });
const log = pino({ level: 'silent' });
for (let r = 0; r < 2; r++) {
  await c.query('TRUNCATE p3t.b; TRUNCATE p3t.a; TRUNCATE p3t.strangler_backfill');
  let s = performance.now(); await c.query('INSERT INTO p3t.b SELECT * FROM p3s.a'); const raw = performance.now() - s;
  s = performance.now(); let chunks = 0; for await (const e of backfillTable({ table, source, target, log })) { if (e.kind === 'chunk') chunks++; } const ours = performance.now() - s;
  console.log('insert-select', Math.round(N / raw * 1000), 'backfill', Math.round(N / ours * 1000), 'ratio', (raw / ours).toFixed(2), 'chunks', chunks);
  const all = { after: null, upTo: null };
  s = performance.now(); await Promise.all([createSourceSide(table, source).sum(all), createTargetSide(table, readT).sum(all)]); const sums = performance.now() - s;
  s = performance.now(); let end: any; for await (const e of verifyTable({ table, source, target: readT })) end = e; const ver = performance.now() - s;
  console.log('checksum both', Math.round(N / sums * 1000), 'verify', Math.round(N / ver * 1000), 'ratio', (sums / ver).toFixed(2), end);
  s = performance.now(); await Promise.all(['p3s.a', 'p3t.a'].map((t) => (t === 'p3s.a' ? source : readT).query(`SELECT COUNT(*), BIT_XOR(CRC32(CONCAT_WS('#',id,name,descr,price,cents,cat,at,flag))) FROM ${t}`))); const crc = performance.now() - s;
  console.log('crc raw both', Math.round(N / crc * 1000), 'verify/crc', (crc / ver).toFixed(2));
}
const applier = createApplier({ pool: target, tables: [table], log });
let ver = 1;
for (const size of [1, 10, 100, 500]) {
  const n = size === 1 ? 300 : 5000; const lat: number[] = []; const s = performance.now();
  for (let i = 0; i < n; i += size) { const t = performance.now(); await applier.apply(Array.from({ length: size }, (_, j) => { const id = String((i + j) % N + 1); return rowMessage('a', 'upsert', { id }, { id, name: 'x' + ver, descr: 'y', price: '1.00', cents: '1', cat: 'c', at: '2026-01-01 00:00:00.000000', flag: '1' }, { epoch: 1, id: String(ver++) }); }), 'p'); lat.push(performance.now() - t); }
  const ms = performance.now() - s; lat.sort((a, b) => a - b);
  console.log('apply batch', size, Math.round(n / ms * 1000), 'rows/s p50', lat[lat.length >> 1]!.toFixed(1), 'p99', lat[Math.floor(lat.length * .99)]!.toFixed(1));
}
console.log(process.memoryUsage().rss / 1e6);
for (const p of [source, target, readT, sadm]) await p.end();
await c.query('DROP DATABASE p3s; DROP DATABASE p3t'); await c.end();
