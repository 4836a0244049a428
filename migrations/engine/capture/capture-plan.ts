import { createHash } from 'node:crypto';
import type { RowOp } from '@strangler/platform/contracts/row-message.ts';
import { rowTopic } from '@strangler/platform/contracts/row-message.ts';
import type { Dialect } from '@strangler/platform/mysql/pool.ts';
import { canaryTable } from '../pipe/canary.ts';
import { sliceOfPipe } from '../pipe/direction.ts';
import { codecOf } from '../row/column-codec.ts';
import { keyTextSql } from '../row/key-text.ts';
import { maxNameChars, quoteName, quoteTable, quoteText } from '../schema/identifiers.ts';
import { columnOf, type TableSchema, type TriggerSchema } from '../schema/table-schema.ts';
import { callRecorder, recordRowSql } from './record-row.ts';

/** The triggers that capture one source table for one slice. */
export type CapturePlan = {
  slice: string;
  dialect: Dialect;
  source: TableSchema;
  triggers: readonly CaptureTrigger[];
};

export type CaptureTrigger = {
  name: string;
  event: TriggerSchema['event'];
  body: string;
  createSql: string;
};

/** What the triggers are generated from: the mapping, as far as it concerns the source, and the live table. */
export type CaptureRequest = {
  slice: string;
  source: TableSchema;
  dialect: Dialect;
  /** Columns that an image holds. */
  captured: readonly string[];
};

const mark = 'strangler-capture 1';

/** Generates the triggers; the same request gives the same text, to the letter. */
export const planCapture = (request: CaptureRequest): CapturePlan => {
  const { slice, source } = request;
  const sql = new CaptureSql(request);
  const trigger = (event: CaptureTrigger['event'], declared: string, statements: string): CaptureTrigger => {
    const name = triggerName(slice, source.name, event);
    const body = signedBody(slice, captureBody({ applied: appliedSql(slice, source.name), declared, statements }));
    const createSql = `CREATE DEFINER = CURRENT_USER TRIGGER ${quoteName(source.database)}.${quoteName(name)} AFTER ${event} ON ${quoteTable(source)} FOR EACH ROW ${body}`;
    return { name, event, body, createSql };
  };
  return {
    slice,
    dialect: request.dialect,
    source,
    triggers: [
      trigger('INSERT', newKey, `SET strangler_new_key = ${sql.key('NEW.')};\n    ${sql.insert('upsert', 'NEW.')}`),
      trigger('UPDATE', `${newKey}\n  ${oldKey}`, updateStatements(sql)),
      trigger('DELETE', oldKey, `SET strangler_old_key = ${sql.key('OLD.')};\n    ${sql.insert('delete', 'OLD.')}`),
    ],
  };
};

/** What a trigger's text says of itself; undefined for a trigger that is not of this kind. */
export const readSignature = (body: string): { slice: string; intact: boolean; hash: string } | undefined => {
  const found = new RegExp(`/\\* ${mark} ([a-z0-9-]+) ([0-9a-f]{16}) \\*/`).exec(body);
  if (found === null) return undefined;
  const [comment, slice, hash] = found as unknown as [string, string, string];
  return { slice, hash, intact: digest(body.replace(`${comment}\n  `, '')) === hash };
};

/** At most 64 characters, one a slice, table and event. */
export const triggerName = (slice: string, table: string, event: CaptureTrigger['event']): string => {
  const readable = `${slice}_${table}`.replace(/[^A-Za-z0-9_]/g, '_').toLowerCase();
  const name = `strangler_${readable.slice(0, 40)}_${digest(`${slice}\0${table}`).slice(0, 8)}_${event[0]!.toLowerCase()}`;
  return name.slice(0, maxNameChars);
};

const newKey = 'DECLARE strangler_new_key LONGTEXT CHARACTER SET utf8mb4;';
const oldKey = 'DECLARE strangler_old_key LONGTEXT CHARACTER SET utf8mb4;';

/**
 * What the slice's own pipes apply is no change of this side. What another slice's pipe applies is: a table that is its to move
 * may be one that this slice has a copy of. The canary goes to and fro in pairs, one pair a slice, and nobody has a copy of it.
 */
const appliedSql = (pipe: string, table: string): string => {
  const isApplied = `CONVERT(@strangler_apply USING utf8mb4) <=> '1'`;
  if (table === canaryTable) return isApplied;
  const isOwn = `CAST(COALESCE(@strangler_slice, ${quoteText(sliceOfPipe(pipe))}) AS BINARY) = CAST(${quoteText(sliceOfPipe(pipe))} AS BINARY)`;
  return `${isApplied} AND ${isOwn}`;
};

const captureBody = ({
  applied,
  declared,
  statements,
}: Record<'applied' | 'declared' | 'statements', string>): string => `BEGIN
  ${declared}
  IF NOT (${applied}) THEN
    ${statements}
  END IF;
END`;

/** A row of which no captured column has changed is not captured: the target has nothing to do with it. */
const updateStatements = (sql: CaptureSql): string => `IF ${sql.changed} THEN
      SET strangler_new_key = ${sql.key('NEW.')};
      SET strangler_old_key = ${sql.key('OLD.')};
      IF NOT (CAST(strangler_new_key AS BINARY) <=> CAST(strangler_old_key AS BINARY)) THEN
        ${sql.insert('delete', 'OLD.')}
      END IF;
      ${sql.insert('upsert', 'NEW.')}
    END IF;`;

const signedBody = (slice: string, body: string): string =>
  body.replace('BEGIN\n  ', `BEGIN\n  /* ${mark} ${slice} ${digest(body)} */\n  `);

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

type RowPrefix = 'NEW.' | 'OLD.';

/** The parts of the triggers' statements. */
class CaptureSql {
  readonly #request: CaptureRequest;

  constructor(request: CaptureRequest) {
    this.#request = request;
  }

  key(prefix: RowPrefix): string {
    return keyTextSql(this.#request.source, this.#request.dialect, prefix);
  }

  /**
   * 1 where any captured column changed. MariaDB runs the trigger also for a row that UPDATE IGNORE has skipped, because
   * of a unique or a foreign key: the row is then stored as it was. It is read with a lock, which the writer has
   * already: its snapshot may be older than the row.
   */
  get changed(): string {
    const differs = this.#differs('NEW.');
    if (this.#request.dialect !== 'mariadb') return differs;
    const { source } = this.#request;
    const sameKey = source.primaryKey.map((name) => `strangler_stored.${quoteName(name)} = OLD.${quoteName(name)}`);
    return `(${differs})
      AND NOT EXISTS (SELECT 1 FROM ${quoteName(source.name)} AS strangler_stored
        WHERE ${sameKey.join(' AND ')} AND NOT (${this.#differs('strangler_stored.')})
        LOCK IN SHARE MODE)`;
  }

  /** 1 where any captured column is other than it was. */
  #differs(prefix: 'NEW.' | 'strangler_stored.'): string {
    return this.#columns
      .map(({ name, codec }) => codec.differsSql(prefix + quoteName(name), `OLD.${quoteName(name)}`))
      .join('\n      OR ');
  }

  insert(op: RowOp, prefix: RowPrefix): string {
    const { slice, source, dialect } = this.#request;
    const record = {
      slice: quoteText(slice),
      topic: quoteText(rowTopic(slice, source.name, op)),
      subject: quoteText(source.name),
      subjectKey: op === 'upsert' ? 'strangler_new_key' : 'strangler_old_key',
      op: `'${op}'`,
      payload: this.#payload(op, prefix),
    };
    return `${dialect === 'mariadb' ? callRecorder(record) : recordRowSql(record)};`;
  }

  get #columns() {
    const { source, dialect, captured } = this.#request;
    return captured.map((name) => ({ name, codec: codecOf(columnOf(source, name), dialect) }));
  }

  #payload(op: RowOp, prefix: RowPrefix): string {
    const { source } = this.#request;
    const image = op === 'delete' ? [`'null'`] : this.#object(this.#request.captured, prefix);
    return `CONCAT('{"key":', ${[...this.#object(source.primaryKey, prefix), `',"image":'`, ...image, `'}'`].join(', ')})`;
  }

  #object(names: readonly string[], prefix: RowPrefix): string[] {
    const { source, dialect } = this.#request;
    const members = names.flatMap((name, at) => [
      quoteText(`${at === 0 ? '{' : ','}${JSON.stringify(name)}:`),
      codecOf(columnOf(source, name), dialect).jsonSql(prefix + quoteName(name)),
    ]);
    return [...members, `'}'`];
  }
}
