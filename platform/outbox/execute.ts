/** What an SQL parameter may be. */
export type SqlValue = string | number | bigint | Buffer | Date | null;

/**
 * Runs one statement with `?` parameters in the caller's transaction: the seam by which application code on any driver
 * writes to the outbox and the inbox. Resolves when the statement has been done; what it resolves to is not used.
 */
export type Execute = (sql: string, values: readonly SqlValue[]) => Promise<unknown>;

/** Of a mysql2 connection on which a transaction is open. */
export function onConnection(connection: { query(sql: string, values: unknown[]): Promise<unknown> }): Execute {
  return (sql, values) => connection.query(sql, [...values]);
}

/** Of a Sequelize and its open transaction. */
export function onSequelize<T>(
  sequelize: { query(sql: string, options: { replacements: unknown[]; transaction: T }): Promise<unknown> },
  transaction: T,
): Execute {
  return (sql, values) => sequelize.query(sql, { replacements: [...values], transaction });
}

/** Whether an error of mysql2, or of Sequelize around it, says that a unique key has this value already. */
export function isDuplicateKey(error: unknown): boolean {
  for (let link = error, depth = 0; typeof link === 'object' && link !== null && depth < 5; depth += 1) {
    const { errno, original, cause } = link as { errno?: unknown; original?: unknown; cause?: unknown };
    if (errno === 1062) return true;
    link = original ?? cause;
  }
  return false;
}
