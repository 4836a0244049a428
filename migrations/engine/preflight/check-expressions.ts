import { codecOf } from '../row/column-codec.ts';
import type { MappedColumn, TableMapping } from '../row/table-mapping.ts';
import { quoteName, quoteTable } from '../schema/identifiers.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';
import type { ServerFacts } from '../schema/read-server.ts';
import { columnOf, type TableSchema } from '../schema/table-schema.ts';
import { type Finding, refuse } from './finding.ts';

type Expression = Extract<MappedColumn, { from: 'sql' }>;

/** A database and what is known of its server. */
export type End = { db: Queryable; server: ServerFacts };

/** Gives another value each time, or another one to each session. */
const unsteady =
  /\b(now|sysdate|curdate|curtime|current_(date|time|timestamp|user)|localtime(stamp)?|utc_(date|time|timestamp)|unix_timestamp\s*\(\s*\)|rand|uuid(_short)?|user|session_user|connection_id|last_insert_id|found_rows|row_count|database|sleep|get_lock|version)\b\s*(\(|$)|\bcurrent_(date|time|timestamp|user)\b|@|\bselect\b/i;

/** Tries every SQL expression of a mapping on both servers, which both must compute the same. */
export async function checkExpressions(
  mapping: TableMapping,
  source: TableSchema,
  from: End,
  to: End,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const column of mapping.columns) {
    if (column.from !== 'sql') continue;
    const where = `mapping of ${mapping.source} to ${mapping.target}`;
    const invalid = (reason: string, remedy: string) =>
      findings.push(
        refuse(
          'expression-invalid',
          where,
          `${column.target}: { sql: ${JSON.stringify(column.sql)} }: ${reason}`,
          remedy,
        ),
      );
    const found = unsteady.exec(withoutStrings(column.sql));
    if (found !== null) {
      invalid(
        `it depends on more than the row (${found[0].trim()})`,
        'use nothing but columns of the row, so that both databases compute the same at any time',
      );
      continue;
    }
    for (const [end, row] of [
      [from, `SELECT ${list(column)} FROM ${quoteTable(source)} LIMIT 1`],
      [to, `SELECT ${nulls(column, source, to.server)}`],
    ] as const) {
      const error = await rowsOf(end.db, `SELECT (${column.sql}\n) AS value FROM (${row}) AS s`).then(
        () => null,
        (cause: Error) => cause.message,
      );
      if (error === null) continue;
      invalid(
        `${end.server.database} refuses it: ${error}`,
        'write it bare, over source columns by their own names, in SQL that both servers know',
      );
      break;
    }
  }
  return findings;
}

const withoutStrings = (sql: string): string =>
  sql.replace(/'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*"|`(?:[^`]|``)*`/gs, "''");

const list = ({ columns }: Expression): string => (columns.length === 0 ? '1' : columns.map(quoteName).join(', '));

const nulls = ({ columns }: Expression, source: TableSchema, { dialect }: ServerFacts): string =>
  columns.length === 0
    ? '1'
    : columns
        .map((name) => `${codecOf(columnOf(source, name), dialect).valueSql('NULL')} AS ${quoteName(name)}`)
        .join(', ');
