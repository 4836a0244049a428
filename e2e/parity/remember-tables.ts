import type { Pool, PoolConnection, RowDataPacket } from 'mysql2/promise';

/**
 * Keeps what these tables hold. What is returned puts them back to that, ids to come included. Nobody else may write to them
 * meanwhile.
 */
export async function rememberTables(pool: Pool, tables: readonly string[]): Promise<() => Promise<void>> {
  const connection = await pool.getConnection();
  const kept: { table: string; plain: string[]; next: number | undefined }[] = [];
  for (const table of tables) {
    const [shown] = await connection.query<RowDataPacket[]>('SHOW COLUMNS FROM ??', [table]);
    const plain = shown.filter(({ Extra }) => !/GENERATED/.test(Extra)).map(({ Field }) => String(Field));
    const counted = shown.find(({ Extra }) => /auto_increment/.test(Extra))?.Field as string | undefined;
    await connection.query('CREATE TABLE ?? AS SELECT ?? FROM ??', [`remembered_${table}`, plain, table]);
    const next = counted === undefined ? undefined : await nextOf(connection, table, counted);
    kept.push({ table, plain, next });
  }
  connection.release();
  return async () => {
    const connection = await pool.getConnection();
    // Without foreign keys: rows go and come back in any order.
    await connection.query('SET SESSION foreign_key_checks = 0');
    for (const { table, plain, next } of kept) {
      await connection.query('DELETE FROM ??', [table]);
      await connection.query('INSERT INTO ?? (??) SELECT ?? FROM ??', [table, plain, plain, `remembered_${table}`]);
      if (next !== undefined) await connection.query('ALTER TABLE ?? AUTO_INCREMENT = ?', [table, next]);
    }
    await connection.query('SET SESSION foreign_key_checks = 1');
    connection.release();
  };
}

async function nextOf(connection: PoolConnection, table: string, column: string): Promise<number> {
  const sql = 'SELECT COALESCE(MAX(??), 0) + 1 AS next FROM ??';
  const [[max]] = await connection.query<RowDataPacket[]>(sql, [column, table]);
  return Number(max?.next);
}
