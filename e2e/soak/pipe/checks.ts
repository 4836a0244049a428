import { names } from '@strangler/platform/outbox/topology.ts';
import type { RabbitConnection } from '@strangler/platform/rabbit.ts';
import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';

/** What an invariant says, and where it does not hold. */
export type Check = { name: string; compared: number; violations: string[] };

type JournalRow = { subject: string; keyText: string; op: string; n: string };
type OutboxRow = JournalRow & { id: string };

/** Rows as one string each, the columns joined. */
async function lines(db: Connection, sql: string): Promise<string[]> {
  const [rows] = await db.query<RowDataPacket[]>(sql);
  return rows.map((row) => String(row.line));
}

async function rowsOf<T>(db: Connection, sql: string): Promise<T[]> {
  const [rows] = await db.query<RowDataPacket[]>(sql);
  return rows as T[];
}

/**
 * I1 and I2: of each key, the outbox holds what the writers noted in their transactions, each change once and in the
 * order of their numbers. I0: a transaction whose COMMIT was answered is there.
 */
export async function checkCapture(url: string, acknowledged: ReadonlySet<string>): Promise<Check[]> {
  const db = await mysql.createConnection({ uri: url });
  try {
    const journal = await rowsOf<JournalRow>(
      db,
      'SELECT subject, key_text AS keyText, op, CAST(n AS CHAR) AS n FROM journal ORDER BY subject, key_text, journal.n, step',
    );
    const outbox = await rowsOf<OutboxRow>(
      db,
      `SELECT subject, CONVERT(subject_key USING utf8mb4) AS keyText, op, CAST(id AS CHAR) AS id,
              COALESCE(JSON_UNQUOTE(JSON_EXTRACT(payload, '$.image.n')), '') AS n
       FROM strangler_outbox WHERE kind = 'row' ORDER BY strangler_outbox.id`,
    );
    const known = new Set(await lines(db, 'SELECT DISTINCT transaction AS line FROM journal'));
    const lost = [...acknowledged].filter((id) => !known.has(id));
    return [
      { name: 'transactions that were committed are there', compared: acknowledged.size, violations: lost },
      {
        name: 'I1, I2: each change is in the outbox once, in the order of its key',
        compared: journal.length,
        violations: compareHistories(journal, outbox),
      },
    ];
  } finally {
    await db.end();
  }
}

/** Of each key, both histories as texts; a delete's number is not in the outbox. */
export function compareHistories(journal: readonly JournalRow[], outbox: readonly JournalRow[]): string[] {
  const expected = historyByKey(journal);
  const found = historyByKey(outbox);
  return [...new Set([...expected.keys(), ...found.keys()])].flatMap((key) => {
    const [wanted, got] = [expected.get(key) ?? [], found.get(key) ?? []];
    const at = wanted.findIndex((change, n) => got[n] !== change);
    if (at < 0 && wanted.length === got.length) return [];
    const place = at < 0 ? wanted.length : at;
    return [`${key}: expected ${wanted[place] ?? 'no more'} as change ${place + 1}, found ${got[place] ?? 'none'}`];
  });
}

function historyByKey(changes: readonly JournalRow[]): Map<string, string[]> {
  const histories = new Map<string, string[]>();
  for (const { subject, keyText, op, n } of changes) {
    const key = `${subject} ${keyText}`;
    const change = op === 'delete' ? 'delete' : `${op} ${n}`;
    histories.set(key, [...(histories.get(key) ?? []), change]);
  }
  return histories;
}

/** I3: all that is marked as published is in the stream. */
export async function checkPublished(url: string, rabbit: RabbitConnection, exchange: string): Promise<Check> {
  const db = await mysql.createConnection({ uri: url });
  try {
    const published = await lines(
      db,
      `SELECT CONCAT((SELECT uuid FROM strangler_outbox_source), '/', id) AS line FROM strangler_outbox WHERE published = 1`,
    );
    const missing = await notInStream(rabbit, exchange, new Set(published));
    return {
      name: 'I3: what is marked as published is in the stream',
      compared: published.length,
      violations: [...missing].map((id) => `${id} is not`),
    };
  } finally {
    await db.end();
  }
}

/** Reads the stream from its first message until all ids were seen, or nothing comes any more. */
async function notInStream(rabbit: RabbitConnection, exchange: string, ids: Set<string>): Promise<Set<string>> {
  if (ids.size === 0) return ids;
  const channel = await rabbit.channel();
  await channel.prefetch(1_000);
  await new Promise<void>((resolve, reject) => {
    let quiet: NodeJS.Timeout;
    const wait = () => {
      clearTimeout(quiet);
      quiet = setTimeout(resolve, 10_000);
    };
    wait();
    channel
      .consume(
        names.stream(exchange),
        (message) => {
          if (message === null) return resolve();
          wait();
          ids.delete(String(message.properties.messageId));
          channel.ack(message);
          if (ids.size === 0) {
            clearTimeout(quiet);
            resolve();
          }
        },
        { arguments: { 'x-stream-offset': 'first' } },
      )
      .catch(reject);
  });
  await channel.close();
  return ids;
}

const separator = `'|'`;
const sides: { name: string; source: string; target: string }[] = [
  {
    name: 'goods',
    source: `SELECT CONCAT_WS(${separator}, id, code, CAST(ROUND(price * 100) AS SIGNED), COALESCE(note, 'NULL'), n) AS line FROM goods ORDER BY id`,
    target: `SELECT CONCAT_WS(${separator}, ware_id, sku, cents, COALESCE(note, 'NULL'), n) AS line FROM wares ORDER BY ware_id`,
  },
  {
    name: 'order_lines',
    source: `SELECT CONCAT_WS(${separator}, order_id, line, qty, n) AS line FROM order_lines AS t ORDER BY t.order_id, t.line`,
    target: `SELECT CONCAT_WS(${separator}, order_id, line, qty, n) AS line FROM order_lines AS t ORDER BY t.order_id, t.line`,
  },
];

/** I4: the target holds the source's rows and no others. */
export async function checkEqual(sourceUrl: string, targetUrl: string): Promise<Check[]> {
  const source = await mysql.createConnection({ uri: sourceUrl });
  const target = await mysql.createConnection({ uri: targetUrl });
  try {
    const checks: Check[] = [];
    for (const side of sides) {
      const expected = await lines(source, side.source);
      const found = await lines(target, side.target);
      const [wanted, got] = [new Set(expected), new Set(found)];
      checks.push({
        name: `I4: ${side.name} are the same at both ends`,
        compared: expected.length,
        violations: [
          ...expected.filter((line) => !got.has(line)).map((line) => `the target lacks ${line.slice(0, 100)}`),
          ...found.filter((line) => !wanted.has(line)).map((line) => `the source has no ${line.slice(0, 100)}`),
        ],
      });
    }
    return checks;
  } finally {
    await source.end();
    await target.end();
  }
}
