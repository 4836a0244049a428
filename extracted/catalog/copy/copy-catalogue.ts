import mysql, { type Connection, type RowDataPacket } from 'mysql2/promise';
import { type CopiedTable, copiedTables } from './copied-tables.ts';
import { createRowDigest, type Row, type RowDigest } from './row-digest.ts';

export type CopyProgress = {
  table: CopiedTable['name'];
  step: 'copy' | 'verify';
  done: number;
  total: number;
  /** Since this table's step began. */
  rowsPerSecond: number;
};

export type CopiedRows = { table: CopiedTable['name']; rows: number; digest: string };

export type CopyReport = { tables: CopiedRows[]; elapsedMs: number };

export type CopyOptions = {
  /** The shop's database, of a user who may read categories, products, reviews and accounts. */
  sourceUrl: string;
  /** The catalogue's own, migrated. */
  targetUrl: string;
  /** Empties the target's tables first; without it a target that is not empty is refused. */
  reset?: boolean;
  /** Rows a statement, 500 unless told. */
  chunkRows?: number;
  onProgress?(progress: CopyProgress): void;
};

/** The copy was not begun, or what is in the target is not what was in the source. The message says what to do. */
export class CopyError extends Error {
  override name = 'CopyError';
}

/** One INSERT is not larger than this, or half of a row's: far below any server's max_allowed_packet. */
const LARGEST_STATEMENT_CHARACTERS = 2_000_000;

/**
 * Copies the catalogue out of the shop's database as it was at one moment (one REPEATABLE READ snapshot), ids, times and
 * versions kept, and reads it back to compare counts and checksums. Throws CopyError for a target that is not ready or does
 * not hold the same afterwards.
 */
export async function copyCatalogue(options: CopyOptions): Promise<CopyReport> {
  const { sourceUrl, targetUrl, reset = false, chunkRows = 500, onProgress = () => {} } = options;
  const begunAt = performance.now();
  const source = await connect(sourceUrl);
  try {
    const target = await connect(targetUrl);
    try {
      await prepareTarget(target, reset);
      await source.query('SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      await source.query('START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY');
      const tables: CopiedRows[] = [];
      for (const table of copiedTables) tables.push(await copyTable({ source, target, table, chunkRows, onProgress }));
      await source.query('COMMIT');
      return { tables, elapsedMs: performance.now() - begunAt };
    } finally {
      await target.end();
    }
  } finally {
    await source.end();
  }
}

type TableCopy = {
  source: Connection;
  target: Connection;
  table: CopiedTable;
  chunkRows: number;
  onProgress(progress: CopyProgress): void;
};

async function copyTable({ source, target, table, chunkRows, onProgress }: TableCopy): Promise<CopiedRows> {
  const { name, columns } = table;
  const [counted] = await read(source, `SELECT COUNT(*) AS n FROM ${table.source.from}`);
  const [all] = await read(source, `SELECT COUNT(*) AS n FROM ${table.sourceTable}`);
  const total = Number(counted?.n);
  if (total !== Number(all?.n)) {
    throw new CopyError(
      `${name}: expected every row to have the rows it refers to, found ${Number(all?.n) - total} without; repair them in the source`,
    );
  }

  const copied = createRowDigest(columns);
  const tell = (step: CopyProgress['step'], digest: RowDigest, startedAt: number) => {
    const seconds = Math.max(0.001, (performance.now() - startedAt) / 1000);
    const rowsPerSecond = Math.round(digest.rows() / seconds);
    onProgress({ table: name, step, done: digest.rows(), total, rowsPerSecond });
  };

  const copyStart = performance.now();
  const { columns: selected, from, key } = table.source;
  for await (const rows of chunks(source, { selected, from, key, chunkRows })) {
    for (const row of rows) copied.add(row);
    for (const part of parts(rows)) {
      const sql = `INSERT INTO ${name} (${columns.join(', ')}) VALUES ?`;
      await target.query(sql, [part.map((row) => columns.map((column) => row[column]))]);
    }
    tell('copy', copied, copyStart);
  }
  await keepAutoIncrement(source, target, table);

  const found = createRowDigest(columns);
  const verifyStart = performance.now();
  const back = { selected: columns.join(', '), from: name, key: 'id', chunkRows };
  for await (const rows of chunks(target, back)) {
    for (const row of rows) found.add(row);
    tell('verify', found, verifyStart);
  }
  if (found.rows() !== total || found.hex() !== copied.hex()) {
    throw new CopyError(
      `${name}: expected ${total} rows with checksum ${copied.hex()} in the target, found ${found.rows()} with ${found.hex()}; ` +
        'see that nothing else writes there, then repeat with --reset',
    );
  }
  return { table: name, rows: total, digest: found.hex() };
}

/** Rows in order of key, in chunks, each a range of the primary key: no chunk costs more than the one before. */
async function* chunks(
  connection: Connection,
  { selected, from, key, chunkRows }: { selected: string; from: string; key: string; chunkRows: number },
): AsyncGenerator<Row[]> {
  for (let last: unknown = 0; ; ) {
    const sql = `SELECT ${selected} FROM ${from} WHERE ${key} > ? ORDER BY ${key} LIMIT ?`;
    const rows = await read(connection, sql, [last, chunkRows]);
    if (rows.length > 0) yield rows;
    if (rows.length < chunkRows) return;
    last = rows.at(-1)?.id;
  }
}

/** Rows in groups that make statements of a bounded size. */
function* parts(rows: Row[]): Generator<Row[]> {
  let part: Row[] = [];
  let characters = 0;
  for (const row of rows) {
    const size = Object.values(row).reduce<number>((sum, value) => sum + String(value).length + 4, 0);
    if (part.length > 0 && characters + size > LARGEST_STATEMENT_CHARACTERS) {
      yield part;
      part = [];
      characters = 0;
    }
    part.push(row);
    characters += size;
  }
  if (part.length > 0) yield part;
}

/** The id of a row that was deleted in the shop is not given to another one here. */
async function keepAutoIncrement(source: Connection, target: Connection, table: CopiedTable): Promise<void> {
  const [shown] = await read(source, `SHOW CREATE TABLE ${table.sourceTable}`);
  const next = /\bAUTO_INCREMENT=(\d+)/.exec(String(shown?.['Create Table']))?.[1];
  // The server itself does not go below what is there.
  if (next !== undefined) await target.query(`ALTER TABLE ${table.name} AUTO_INCREMENT = ${next}`);
}

async function prepareTarget(target: Connection, reset: boolean): Promise<void> {
  const names = copiedTables.map(({ name }) => name);
  const present = await read(
    target,
    'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN (?)',
    [names],
  );
  const missing = names.filter((name) => !present.some((row) => row.name === name));
  if (missing.length > 0) {
    throw new CopyError(
      `target: expected the catalogue's tables, found no ${missing.join(', ')}; run node extracted/catalog/migrate.ts up first`,
    );
  }
  for (const name of [...names].reverse()) {
    if (reset) {
      await target.query(`TRUNCATE TABLE ${name}`);
      continue;
    }
    const [row] = await read(target, `SELECT id FROM ${name} LIMIT 1`);
    if (row !== undefined) {
      throw new CopyError(`target: expected ${name} to be empty, found rows; with --reset they are deleted first`);
    }
  }
}

async function connect(url: string): Promise<Connection> {
  return mysql.createConnection({
    uri: url,
    charset: 'utf8mb4',
    timezone: 'Z',
    // As text: not a digit of a time or a number is lost on the way.
    dateStrings: true,
    jsonStrings: true,
    supportBigNumbers: true,
    connectTimeout: 10_000,
  });
}

async function read(connection: Connection, sql: string, values: unknown[] = []): Promise<Row[]> {
  const [rows] = await connection.query<RowDataPacket[]>(sql, values);
  return rows;
}
