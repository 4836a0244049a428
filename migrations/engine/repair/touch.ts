import type { RowImage, RowOp, RowVersion } from '@strangler/platform/contracts/row-message.ts';
import { rowTopic } from '@strangler/platform/contracts/row-message.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import { outboxInsertSql } from '@strangler/platform/outbox/schema.ts';
import type { Connection, Pool } from 'mysql2/promise';
import { type MappedTable, sourceCodec } from '../apply/row-shape.ts';
import { keyValueSql, slotName, textTable } from '../apply/row-statements.ts';
import type { KeyPlace } from '../backfill/key-range.ts';
import { readEpoch } from '../capture/capture-state.ts';
import { codecOf } from '../row/column-codec.ts';
import { keyTextSql } from '../row/key-text.ts';
import { quoteName } from '../schema/identifiers.ts';
import { columnOf } from '../schema/table-schema.ts';

export type TouchOptions = {
  table: MappedTable;
  /** Writes: an account that may insert into the outbox and lock rows of the table. */
  source: Pool;
  keys: readonly KeyPlace[];
  /** Who repairs, and why: recorded as the writer of the change. */
  writer: { user: string; request: string };
  /** How long to wait for a row that a writer holds, 5 s unless told. */
  lockWaitSeconds?: number;
};

/** What was put in the outbox for a key. */
export type Touched = { keyText: string; op: RowOp; version: RowVersion };

/** Nothing captures the slice: a change put in the outbox would have no epoch. */
export class NotCaptured extends Error {
  override name = 'NotCaptured';
}

/**
 * Mends rows through the pipe: puts the image that the source has of each key, or a delete where it has none, in the
 * outbox under a new version, which wins over whatever the target holds. Rows are taken one by one, each locked in the
 * transaction of its outbox row: a writer comes before or after it, and so does its version. Where there is no row the
 * lock is of the gap (REPEATABLE READ), or a row inserted meanwhile would be deleted by the later version.
 * @throws NotCaptured, and what the source says
 */
export async function touchRows(options: TouchOptions): Promise<Touched[]> {
  const { table, source, keys, lockWaitSeconds = 5 } = options;
  const read = lockSql(table);
  const touched: Touched[] = [];
  for (const key of keys) {
    touched.push(
      await withTransaction(source, 'REPEATABLE READ', async (connection) => {
        await connection.query(`SET SESSION innodb_lock_wait_timeout = ${Number(lockWaitSeconds)}`);
        try {
          return await touch(connection, options, read, key);
        } finally {
          await connection.query('SET SESSION innodb_lock_wait_timeout = DEFAULT');
        }
      }),
    );
  }
  return touched;
}

async function touch(connection: Connection, options: TouchOptions, read: ReadSql, key: KeyPlace): Promise<Touched> {
  const { mapping } = options.table;
  const epoch = await readEpoch(connection, mapping.slice);
  if (epoch === undefined) {
    throw new NotCaptured(
      `${mapping.slice}: expected it to be captured, found no epoch; install its capture before repairing`,
    );
  }
  const json = JSON.stringify([key]);
  const [named] = await arrays(connection, read.keyText, [json]);
  const keyText = named?.[0] as string;
  const [row] = await arrays(connection, read.row, [...key]);
  const image: RowImage | null =
    row === undefined ? null : Object.fromEntries(mapping.captured.map((name, index) => [name, row[index] ?? null]));
  const op: RowOp = image === null ? 'delete' : 'upsert';
  // The key as the row spells it, which may not be how it was asked for.
  const spelt = mapping.key.map((name, index) => [name, image?.[name] ?? key[index]]);
  const payload = JSON.stringify({ key: Object.fromEntries(spelt), image });
  const insert = outboxInsertSql({
    kind: `'row'`,
    epoch: '?',
    topic: '?',
    subject: '?',
    subjectKey: '?',
    op: '?',
    payload: '?',
    headers: '?',
  });
  const [result] = await connection.query(insert, [
    ...[mapping.source, keyText],
    ...[epoch, rowTopic(mapping.slice, mapping.source, op), mapping.source, keyText, op, payload],
    JSON.stringify(options.writer),
  ]);
  return { keyText, op, version: { epoch, id: String((result as { insertId: number | string }).insertId) } };
}

type ReadSql = { keyText: string; row: string };

const lockSql = ({ mapping, source, sourceDialect, ...table }: MappedTable): ReadSql => {
  const typed = mapping.key.map(
    (name, index) => `${keyValueSql(columnOf(source, name), sourceDialect, slotName(index))} AS ${quoteName(name)}`,
  );
  const keys = textTable(mapping.key.length);
  // Constants, so that the lock is of one place in the primary key.
  const where = mapping.key.map(
    (name) => `s.${quoteName(name)} = ${codecOf(columnOf(source, name), sourceDialect).valueSql('?')}`,
  );
  const mapped: MappedTable = { mapping, source, sourceDialect, ...table };
  const texts = mapping.captured.map((name) => sourceCodec(mapped, name, 'source').encodeSql(`s.${quoteName(name)}`));
  return {
    keyText: `SELECT ${keyTextSql(source, sourceDialect, 'd.')} AS key_text FROM (SELECT ${typed.join(', ')} FROM ${keys} AS texts) AS d`,
    row:
      `SELECT ${texts.map((text, index) => `${text} AS c${index}`).join(', ')} ` +
      `FROM ${quoteName(source.name)} AS s WHERE ${where.join(' AND ')} FOR UPDATE`,
  };
};

async function arrays(connection: Connection, sql: string, values: unknown[]): Promise<(string | null)[][]> {
  const [rows] = await connection.query({ sql, values, rowsAsArray: true });
  return rows as unknown as (string | null)[][];
}
