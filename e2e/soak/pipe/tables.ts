/** The tables of the soak, at both ends, and what the writers keep beside them in the source. */

/** Keys of goods from 1 on that nobody touches but the transaction that stays open for the whole copy. */
export const reservedGoods = 5;
/** Keys of goods above the reserved ones on which the writers meet most. */
export const contendedGoods = 60;
export const orders = 12;

/**
 * `n` grows with every change of a row's key, whichever row bears it: by it an order is known that nobody has to
 * believe the outbox for.
 */
export const sourceSql = (rows: number): string[] => [
  `CREATE TABLE goods (id INT PRIMARY KEY, code VARCHAR(40) NOT NULL UNIQUE, price DECIMAL(10,2) NOT NULL, note TEXT NULL, n BIGINT NOT NULL DEFAULT 0)`,
  'CREATE TABLE order_lines (order_id INT, line INT, qty INT NOT NULL, n BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (order_id, line))',
  // A lock and a number a key; not of the slice.
  `CREATE TABLE counters (name VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, n BIGINT NOT NULL)`,
  // What each transaction has changed, in it.
  `CREATE TABLE journal (subject VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin, key_text VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin,
     n BIGINT, step INT, op VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, transaction CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
     PRIMARY KEY (subject, key_text, n, step), KEY (transaction))`,
  ...chunks(rows).map(
    ([from, to]) =>
      `INSERT INTO goods (id, code, price, note) WITH RECURSIVE seq AS (SELECT ${from} AS id UNION ALL SELECT id + 1 FROM seq WHERE id < ${to})
       SELECT id, CONCAT('first-', id), id MOD 1000 / 10, IF(id MOD 3 = 0, NULL, REPEAT('é', id MOD 50)) FROM seq`,
  ),
];

/** Fewer than the depth to which both engines let a query recurse. */
const chunks = (rows: number): [number, number][] =>
  Array.from({ length: Math.ceil(rows / 900) }, (_, at) => [at * 900 + 1, Math.min(rows, (at + 1) * 900)]);

export const targetSql: readonly string[] = [
  'CREATE TABLE wares (ware_id BIGINT PRIMARY KEY, sku VARCHAR(40) NOT NULL UNIQUE, cents BIGINT NOT NULL, note TEXT NULL, n BIGINT NOT NULL)',
  'CREATE TABLE order_lines (order_id INT, line INT, qty INT NOT NULL, n BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (order_id, line))',
];

export const sliceTables = [
  '  - source: goods',
  '    target: wares',
  '    columns: { ware_id: id, sku: code, cents: { sql: "ROUND(price * 100)" }, note: note, n: n }',
  '  - source: order_lines',
  '',
].join('\n');
