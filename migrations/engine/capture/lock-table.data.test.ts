import { expect, test } from '@jest/globals';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { freshDatabase } from '@strangler/platform/testing/servers.ts';
import mysql from 'mysql2/promise';
import { tableBusy } from './lock-table.ts';

test('who may hold a table is told though a statement runs meanwhile that MySQL cannot tell', async () => {
  const database = await freshDatabase('lock_table');
  const pool = createPool(database.adminUrl);
  const writer = await mysql.createConnection({ uri: database.url, charset: 'utf8mb4' });
  const connection = await pool.getConnection();
  try {
    await writer.query('CREATE TABLE item (id INT PRIMARY KEY)');
    await writer.beginTransaction();
    await writer.query('INSERT INTO item VALUES (1)');
    const running = writer.query("SELECT SLEEP(0.5), '\u{1F600}'");
    const error = await tableBusy(connection, { database: database.name, name: 'item' }, 3, undefined);
    // The oldest are told, and other tests have transactions too.
    expect(error.message).toMatch(/open transactions: connection \d+ of .* for \d+ s/);
    await running;
  } finally {
    writer.destroy();
    connection.release();
    await pool.end();
    await database.drop();
  }
});
