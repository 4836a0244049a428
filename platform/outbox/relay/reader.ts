import type { OutboxRow } from '../message.ts';
import { outboxTable, pendingIndex, type Queryable, rowsOf } from '../schema.ts';

export type ReadRow = OutboxRow & { ageMs: number };

export type ReadRequest = {
  parts: readonly number[];
  /** Ids that are held already, decimal texts. */
  except: readonly string[];
  limit: number;
};

/**
 * Reads what is committed and not published: of each part asked for, the oldest ids that are not excepted, by part and id,
 * cut off after `limit` rows. Never `id > last`: a transaction that commits late commits ids lower than those read before.
 * The session must be READ COMMITTED.
 */
export async function readPending(db: Queryable, { parts, except, limit }: ReadRequest): Promise<ReadRow[]> {
  if (parts.length === 0 || limit < 1) return [];
  // `+ 0` keeps the optimiser from making thousands of ranges of the excepted ids; it filters in the index.
  const others = except.length === 0 ? '' : `AND o.id + 0 NOT IN (${except.map(digits).join(', ')})`;
  const [rows] = await db.query({
    sql: `SELECT CAST(o.id AS CHAR), o.part, o.kind, o.epoch, o.topic, o.subject, CONVERT(o.subject_key USING utf8mb4),
       o.op, o.payload, o.headers, DATE_FORMAT(o.created_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
       TIMESTAMPDIFF(MICROSECOND, o.created_at, UTC_TIMESTAMP(6))
     FROM ${outboxTable} AS o FORCE INDEX (${pendingIndex})
     WHERE o.published = 0 AND ${parts.length === 1 ? 'o.part = ?' : 'o.part IN (?)'} ${others}
     ORDER BY o.part, o.id LIMIT ?`,
    values: [parts.length === 1 ? parts[0] : [...parts], limit],
    rowsAsArray: true,
  });
  return (rows as unknown as RawRow[]).map(
    ([id, part, kind, epoch, topic, subject, subjectKey, op, payload, headers, at, ageUs]) => ({
      id,
      part,
      kind,
      epoch,
      topic,
      subject,
      subjectKey,
      op,
      payload,
      headers,
      at,
      ageMs: Number(ageUs) / 1000,
    }),
  );
}

/** The age of the oldest row that is not published, in ms; 0 when there is none. */
export async function oldestPendingMs(db: Queryable, parts: readonly number[]): Promise<number> {
  if (parts.length === 0) return 0;
  const each = parts.map(
    (part) =>
      `(SELECT TIMESTAMPDIFF(MICROSECOND, created_at, UTC_TIMESTAMP(6)) AS age_us FROM ${outboxTable}
        FORCE INDEX (${pendingIndex}) WHERE published = 0 AND part = ${Number(part)} ORDER BY id LIMIT 1)`,
  );
  const [row] = await rowsOf<{ age_us: number | null }>(
    db,
    `SELECT MAX(age_us) AS age_us FROM (${each.join(' UNION ALL ')}) AS oldest`,
  );
  return Math.max(0, Number(row?.age_us ?? 0) / 1000);
}

type RawRow = [
  id: string,
  part: number,
  kind: OutboxRow['kind'],
  epoch: number,
  topic: string,
  subject: string,
  subjectKey: string,
  op: string,
  payload: string,
  headers: string,
  at: string,
  ageUs: number | string,
];

function digits(id: string): string {
  if (!/^\d{1,20}$/.test(id)) throw new TypeError(`an outbox id: expected decimal digits, found ${JSON.stringify(id)}`);
  return id;
}
