import { codecOf, kindOf } from '../row/column-codec.ts';
import type { TableMapping } from '../row/table-mapping.ts';
import { quoteName, quoteTable } from '../schema/identifiers.ts';
import { rowsOf } from '../schema/queryable.ts';
import { type ColumnSchema, columnOf, type TableSchema } from '../schema/table-schema.ts';
import type { End } from './check-expressions.ts';
import { type Finding, refuse, warn } from './finding.ts';

/** How long one table's rows are looked through for one that is too large, at most. */
const lookMs = 2_000;

/** Bytes of an image beside the values of its long columns: names, quotes, the key, short values. */
const besideBytes = (columns: number): number => 1_000 + 150 * columns;

const wasInterrupted = (error: unknown): boolean =>
  // ER_QUERY_TIMEOUT of MySQL; ER_STATEMENT_TIMEOUT and ER_QUERY_INTERRUPTED of MariaDB.
  [3024, 1969, 1317].includes((error as { errno?: number }).errno ?? 0);

/**
 * Whether every row fits in what both servers take at once. The image is made in the trigger, so a row that is too
 * large could not be written any more. Where the declared types leave it open the rows themselves are looked at, for a
 * short time: an index does not help.
 */
export async function checkRowSize(
  { captured }: TableMapping,
  source: TableSchema,
  { from, to }: { from: End; to: End },
): Promise<Finding[]> {
  const limit = Math.min(from.server.maxAllowedPacketBytes, to.server.maxAllowedPacketBytes);
  const columns = captured.map((name) => columnOf(source, name));
  const long = columns.filter((column) => growth(column) > 0);
  const beside = besideBytes(columns.length);
  const most = long.reduce((sum, column) => sum + (column.maxBytes ?? 0) * growth(column), beside);
  if (most <= limit) return [];

  const where = `source ${source.database}.${source.name}`;
  const search = await findTooLarge(source, columns, long, limit - beside, from);
  if (search.outcome === 'found') {
    const reason = `the row ${search.key} is too large: as JSON, with each byte of binary data as two digits, it has more than the ${limit} bytes of max_allowed_packet, so that it could be neither captured nor written`;
    const remedy =
      'raise max_allowed_packet on both servers, shorten the row, or leave its long columns out of the slice file';
    return [refuse('row-too-large', where, reason, remedy)];
  }
  const seen =
    search.outcome === 'none' ? 'No row does today' : `Not all rows could be looked at in ${lookMs / 1000} s`;
  const widest = [...long].sort((a, b) => (b.maxBytes ?? 0) - (a.maxBytes ?? 0)).slice(0, 3);
  const reason =
    `an image must fit in max_allowed_packet, ${limit} bytes, with each text quoted and each byte of binary data as two digits; ` +
    `${widest.map(({ name }) => name).join(', ')} may hold more. ${seen}; a write of such a row would be refused`;
  const remedy = `see that no row gets longer than ${Math.floor(limit / 3)} bytes, or raise max_allowed_packet on both servers`;
  return [warn('row-too-large', where, reason, remedy)];
}

/** How many bytes one byte of a long column may become in JSON; 0 for types that are short whatever they hold. */
const growth = (column: ColumnSchema): number => {
  const kind = kindOf(column);
  if (kind === 'binary') return 2;
  // A control character becomes \u00XX.
  return kind === 'text' || kind === 'json' ? 6 : 0;
};

type Search = { outcome: 'found'; key: string } | { outcome: 'none' | 'not all seen' };

/** The key of a row whose long columns take more than `limit` bytes of JSON. */
async function findTooLarge(
  source: TableSchema,
  columns: readonly ColumnSchema[],
  long: readonly ColumnSchema[],
  limit: number,
  { db, server }: End,
): Promise<Search> {
  const column = ({ name }: ColumnSchema) => `t.${quoteName(name)}`;
  const roughly = long.map((one) => `${growth(one)} * COALESCE(LENGTH(${column(one)}), 0)`).join(' + ');
  // A text that is longer than the server makes is NULL.
  const exactly = long
    .map((one) => `COALESCE(LENGTH(${codecOf(one, server.dialect).jsonSql(column(one))}), ${limit + 1})`)
    .join(' + ');
  const key = columns
    .filter(({ name }) => source.primaryKey.includes(name))
    .map((one) => codecOf(one, server.dialect).encodeSql(column(one)));
  const select = `CONCAT_WS('/', ${key.join(', ')}) AS found FROM ${quoteTable(source)} AS t
    WHERE ${roughly} > ${limit} AND ${exactly} > ${limit} LIMIT 1`;
  const bounded =
    server.dialect === 'mysql'
      ? `SELECT /*+ MAX_EXECUTION_TIME(${lookMs}) */ ${select}`
      : `SET STATEMENT max_statement_time = ${lookMs / 1000} FOR SELECT ${select}`;
  try {
    const [row] = await rowsOf<{ found: string }>(db, bounded);
    return row === undefined ? { outcome: 'none' } : { outcome: 'found', key: row.found };
  } catch (error) {
    if (wasInterrupted(error)) return { outcome: 'not all seen' };
    throw error;
  }
}
