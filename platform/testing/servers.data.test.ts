import { expect, test } from '@jest/globals';
import mysql, { type Connection } from 'mysql2/promise';
import { freshDatabase, testServers } from './servers.ts';

async function connected<T>(url: string, work: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await mysql.createConnection(url);
  try {
    return await work(connection);
  } finally {
    await connection.end();
  }
}

async function schemas(name: string): Promise<number> {
  return connected(testServers().mysqlUrl, async (admin) => {
    const [rows] = await admin.query('SHOW DATABASES LIKE ?', [name.replaceAll('_', '\\_')]);
    return (rows as unknown[]).length;
  });
}

test('a fresh database has a user who may do everything in it, triggers and views included', async () => {
  const database = await freshDatabase('Rights & more');
  try {
    expect(database.name).toMatch(/^t_rights_more_[0-9a-f]{10}$/);
    await connected(database.url, async (user) => {
      await user.query('CREATE TABLE a (id INT PRIMARY KEY, n INT)');
      await user.query('CREATE TABLE b (id INT PRIMARY KEY)');
      await user.query('CREATE TRIGGER a_insert AFTER INSERT ON a FOR EACH ROW INSERT INTO b VALUES (NEW.id)');
      await user.query('CREATE VIEW v AS SELECT id FROM b');
      await user.query('CREATE PROCEDURE p() SELECT 1');
      await user.query('INSERT INTO a VALUES (1, 1)');
      const [rows] = await user.query('SELECT id FROM v');
      expect(rows).toEqual([{ id: 1 }]);
    });
    await connected(database.adminUrl, async (admin) => {
      const [rows] = await admin.query('SELECT id FROM a');
      expect(rows).toEqual([{ id: 1 }]);
    });
  } finally {
    await database.drop();
  }
});

test('that user may do nothing in any other schema', async () => {
  const [mine, theirs] = await Promise.all([freshDatabase('mine'), freshDatabase('theirs')]);
  try {
    await connected(theirs.url, (user) => user.query('CREATE TABLE a (id INT PRIMARY KEY)'));
    await connected(mine.url, async (user) => {
      await expect(user.query(`SELECT * FROM \`${theirs.name}\`.a`)).rejects.toThrow(/denied/);
      await expect(user.query('SELECT user FROM mysql.user')).rejects.toThrow(/denied/);
      await expect(user.query(`CREATE DATABASE \`${mine.name}x\``)).rejects.toThrow(/denied/);
      // The underscores of its name do not stand for any character.
      await expect(user.query(`CREATE DATABASE \`${mine.name.replaceAll('_', 'x')}\``)).rejects.toThrow(/denied/);
    });
  } finally {
    await Promise.all([mine.drop(), theirs.drop()]);
  }
});

test('dropping it removes schema and user, even while a transaction is open in it', async () => {
  const database = await freshDatabase('drop');
  const user = await mysql.createConnection(database.url);
  user.on('error', () => {});
  await user.query('CREATE TABLE a (id INT PRIMARY KEY)');
  await user.beginTransaction();
  await user.query('SELECT * FROM a');
  await database.drop();
  user.destroy();
  expect(await schemas(database.name)).toBe(0);
  await expect(mysql.createConnection(database.url)).rejects.toThrow(/denied/);
});
