import { randomUUID } from 'node:crypto';
import { pick, type Weighted } from '../../traffic/random.ts';
import { contendedGoods, orders, reservedGoods } from './tables.ts';
import type { WriterTransaction } from './transaction.ts';

/** Numbers in [0, 1), the same for the same seed. */
type Random = () => number;
type Operation = (transaction: WriterTransaction, random: Random, rows: number) => Promise<void>;
type Good = { id: number; code: string };

const nameOf = (id: number): string => `goods ${id}`;
const anyCode = (): string => randomUUID();
const between = (random: Random, least: number, most: number): number =>
  least + Math.floor(random() * (most - least + 1));

/** Mostly of the few on which everybody meets. */
const anyId = (random: Random, rows: number): number =>
  random() < 0.8
    ? reservedGoods + between(random, 1, contendedGoods)
    : between(random, reservedGoods + 1, Math.max(rows, contendedGoods + reservedGoods));

const someIds = (random: Random, rows: number, most: number): number[] => [
  ...new Set(Array.from({ length: between(random, 1, most) }, () => anyId(random, rows))),
];

/** Takes goods by their keys, and tells which of them are there. */
async function takeGoods({ take, rows }: WriterTransaction, ids: readonly number[]) {
  const numbers = await take(ids.map(nameOf));
  const present = await rows<Good>('SELECT id, code FROM goods WHERE id IN (?) FOR UPDATE', [ids]);
  return { n: (id: number) => numbers.get(nameOf(id))!, present: new Map(present.map((good) => [good.id, good])) };
}

const put: Operation = async (tx, random, rows) => {
  const ids = someIds(random, rows, 4);
  const { n, present } = await takeGoods(tx, ids);
  for (const id of ids) {
    const price = between(random, 0, 99_999) / 100;
    const note = random() < 0.2 ? null : 'n'.repeat(between(random, 0, 200));
    if (present.has(id)) {
      await tx.run('UPDATE goods SET price = ?, note = ?, n = ? WHERE id = ?', [price, note, n(id), id]);
    } else {
      await tx.run('INSERT INTO goods (id, code, price, note, n) VALUES (?, ?, ?, ?, ?)', [
        id,
        anyCode(),
        price,
        note,
        n(id),
      ]);
    }
    tx.note('goods', 'upsert', id, n(id));
  }
};

/** One statement that inserts some and updates others. */
const putTogether: Operation = async (tx, random, rows) => {
  const ids = someIds(random, rows, 12);
  const { n } = await takeGoods(tx, ids);
  const values = ids.map((id) => [id, anyCode(), between(random, 0, 999), `together ${tx.id}`, n(id)]);
  await tx.run(
    `INSERT INTO goods (id, code, price, note, n) VALUES ?
     ON DUPLICATE KEY UPDATE price = VALUES(price), note = VALUES(note), n = VALUES(n)`,
    [values],
  );
  for (const id of ids) tx.note('goods', 'upsert', id, n(id));
};

/** One statement over many rows and two tables. */
const raise: Operation = async (tx, random, rows) => {
  const ids = someIds(random, rows, 25);
  const { n, present } = await takeGoods(tx, ids);
  await tx.run(
    `UPDATE goods JOIN counters ON counters.name = CONCAT('goods ', goods.id)
     SET goods.price = goods.price + 0.01, goods.n = counters.n WHERE goods.id IN (?)`,
    [ids],
  );
  for (const id of present.keys()) tx.note('goods', 'upsert', id, n(id));
};

const remove: Operation = async (tx, random, rows) => {
  const ids = someIds(random, rows, 6);
  const { n, present } = await takeGoods(tx, ids);
  await tx.run('DELETE FROM goods WHERE id IN (?)', [ids]);
  for (const id of present.keys()) tx.note('goods', 'delete', id, n(id));
};

/** Deleted and there again, under the same unique value. */
const comeAgain: Operation = async (tx, random, rows) => {
  const id = anyId(random, rows);
  const { n, present } = await takeGoods(tx, [id]);
  const code = present.get(id)?.code ?? anyCode();
  if (present.has(id)) {
    await tx.run('DELETE FROM goods WHERE id = ?', [id]);
    tx.note('goods', 'delete', id, n(id));
  }
  await tx.run('INSERT INTO goods (id, code, price, note, n) VALUES (?, ?, 1, ?, ?)', [
    id,
    code,
    `again ${tx.id}`,
    n(id),
  ]);
  tx.note('goods', 'upsert', id, n(id));
};

const replace: Operation = async (tx, random, rows) => {
  const id = anyId(random, rows);
  const { n, present } = await takeGoods(tx, [id]);
  await tx.run('REPLACE INTO goods (id, code, price, note, n) VALUES (?, ?, 2, ?, ?)', [
    id,
    anyCode(),
    `replaced ${tx.id}`,
    n(id),
  ]);
  if (present.has(id)) tx.note('goods', 'delete', id, n(id));
  tx.note('goods', 'upsert', id, n(id));
};

const changeKey: Operation = async (tx, random, rows) => {
  const [from, to] = [anyId(random, rows), anyId(random, rows)];
  const { n, present } = await takeGoods(tx, [from, to]);
  if (!present.has(from) || present.has(to)) return;
  await tx.run('UPDATE goods SET id = ?, n = ? WHERE id = ?', [to, n(to), from]);
  tx.note('goods', 'delete', from, n(from));
  tx.note('goods', 'upsert', to, n(to));
};

/** Two rows exchange a unique value, by way of a third one. */
const swap: Operation = async (tx, random, rows) => {
  const [a, b] = [anyId(random, rows), anyId(random, rows)];
  if (a === b) return;
  const { n, present } = await takeGoods(tx, [a, b]);
  const [one, other] = [present.get(a), present.get(b)];
  if (one === undefined || other === undefined) return;
  const write = async (id: number, code: string, number: number) => {
    await tx.run('UPDATE goods SET code = ?, n = ? WHERE id = ?', [code, number, id]);
    tx.note('goods', 'upsert', id, number);
  };
  await write(a, anyCode(), n(a));
  await write(b, one.code, n(b));
  const again = await tx.take([nameOf(a)]);
  await write(a, other.code, again.get(nameOf(a))!);
};

/** What the server skips is no change. */
const tryInVain: Operation = async (tx, random, rows) => {
  const [a, b] = [anyId(random, rows), anyId(random, rows)];
  if (a === b) return;
  const { n, present } = await takeGoods(tx, [a, b]);
  const other = present.get(b);
  if (!present.has(a) || other === undefined) return;
  if (random() < 0.5) await tx.run('UPDATE IGNORE goods SET code = ?, n = ? WHERE id = ?', [other.code, n(a), a]);
  else await tx.run('UPDATE IGNORE goods SET id = ?, n = ? WHERE id = ?', [b, n(b), a]);
  await tx.run(`INSERT IGNORE INTO goods (id, code, price, n) VALUES (?, 'in vain', 0, 0)`, [a]);
};

type Line = { line: number };

async function takeOrder({ take, rows }: WriterTransaction, random: Random) {
  const order = between(random, 1, orders);
  const n = (await take([`order ${order}`])).get(`order ${order}`)!;
  const lines = await rows<Line>('SELECT line FROM order_lines WHERE order_id = ? ORDER BY line FOR UPDATE', [order]);
  return { order, n, lines: lines.map(({ line }) => line) };
}

const addLine: Operation = async (tx, random) => {
  const { order, n, lines } = await takeOrder(tx, random);
  const line = (lines.at(-1) ?? 0) + 1;
  await tx.run('INSERT INTO order_lines VALUES (?, ?, ?, ?)', [order, line, between(random, 1, 9), n]);
  tx.note('order_lines', 'upsert', `${order}/${line}`, n);
};

/** Every row takes the key of the next one. */
const shiftLines: Operation = async (tx, random) => {
  const { order, n, lines } = await takeOrder(tx, random);
  await tx.run('UPDATE order_lines SET line = line + 1, n = ? WHERE order_id = ? ORDER BY line DESC', [n, order]);
  for (const line of [...lines].reverse()) {
    tx.note('order_lines', 'delete', `${order}/${line}`, n);
    tx.note('order_lines', 'upsert', `${order}/${line + 1}`, n);
  }
};

const clearOrder: Operation = async (tx, random) => {
  const { order, n, lines } = await takeOrder(tx, random);
  await tx.run('DELETE FROM order_lines WHERE order_id = ?', [order]);
  for (const line of lines) tx.note('order_lines', 'delete', `${order}/${line}`, n);
};

const operations: Weighted<Operation> = [
  [6, put],
  [3, putTogether],
  [3, raise],
  [3, remove],
  [3, comeAgain],
  [2, replace],
  [3, changeKey],
  [4, swap],
  [1, tryInVain],
  [3, addLine],
  [2, shiftLines],
  [1, clearOrder],
];

/** Does something to the source in a transaction. */
export const doSomething = (tx: WriterTransaction, random: Random, rows: number): Promise<void> =>
  pick(operations, random)(tx, random, rows);
