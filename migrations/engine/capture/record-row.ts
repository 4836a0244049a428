import { outboxInsertSql } from '@strangler/platform/outbox/schema.ts';

/** The table with one row a slice, from which the triggers read the epoch. */
export const captureStateTable = 'strangler_capture';

/** Under it the triggers are created and run, whatever the writers' sessions are set to. */
export const captureSqlMode = 'STRICT_ALL_TABLES';

/** One change, each part of it an SQL expression. */
export type RecordedRow = Record<'slice' | 'topic' | 'subject' | 'subjectKey' | 'op' | 'payload', string>;

const variableJson = (name: string, maxChars: number): string =>
  `IFNULL(JSON_QUOTE(LEFT(CONVERT(@${name} USING utf8mb4), ${maxChars})), 'null')`;

// USER(), not CURRENT_USER(): in a trigger that is its definer.
const user = `JSON_QUOTE(CONVERT(USER() USING utf8mb4))`;
const writerHeaders = `CONCAT('{"user":', ${user}, ',"request":', ${variableJson('strangler_request', 500)}, ',"traceparent":', ${variableJson('strangler_traceparent', 100)}, '}')`;

/** The INSERT of a change into the outbox, under the slice's epoch and with what is known of the writer. */
export const recordRowSql = ({ slice, ...row }: RecordedRow): string =>
  outboxInsertSql({
    ...row,
    kind: `'row'`,
    epoch: `(SELECT epoch FROM ${captureStateTable} WHERE slice = ${slice})`,
    headers: writerHeaders,
  });

/**
 * MariaDB's triggers go through this procedure: while a writer has the table under LOCK TABLES, two statements of
 * different triggers that write to one table fail there (error 1442); one statement that both of them call does not.
 */
export const recorder = 'strangler_capture_row';

export const callRecorder = ({ slice, topic, subject, subjectKey, op, payload }: RecordedRow): string =>
  `CALL ${recorder}(${[slice, topic, subject, subjectKey, op, payload].join(', ')})`;

const text = (length: string): string => `${length} CHARACTER SET utf8mb4`;

/** What the server keeps of the procedure's text. */
export const recorderBody = `BEGIN
  ${recordRowSql({
    slice: 'strangler_slice',
    topic: 'strangler_topic',
    subject: 'strangler_subject',
    subjectKey: 'strangler_key',
    op: 'strangler_op',
    payload: 'strangler_payload',
  })};
END`;

export const recorderSql = `CREATE OR REPLACE DEFINER = CURRENT_USER PROCEDURE ${recorder}(
  strangler_slice ${text('VARCHAR(64)')}, strangler_topic ${text('VARCHAR(255)')}, strangler_subject ${text('VARCHAR(64)')},
  strangler_key ${text('LONGTEXT')}, strangler_op ${text('VARCHAR(32)')}, strangler_payload ${text('LONGTEXT')}
) MODIFIES SQL DATA SQL SECURITY DEFINER ${recorderBody}`;
