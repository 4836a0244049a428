import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';
import { z } from 'zod';

const testServersSchema = z.object({
  engine: z.enum(['mysql', 'mariadb']),
  /** Of a user who may create schemas and users. */
  mysqlUrl: z.string(),
  rabbitmqUrl: z.string(),
  rabbitmqManagementUrl: z.string().optional(),
  redisUrl: z.string(),
  consulUrl: z.string(),
});

export type TestServers = z.infer<typeof testServersSchema>;

/** The servers of this test run, from the variable TEST_STACK. */
export function testServers(): TestServers {
  const text = process.env.TEST_STACK;
  if (text === undefined || text === '') {
    throw new Error(
      'TEST_STACK is not set: this test needs real servers. Run it through jest as project `integration` or `data`, whose global set-up brings them up.',
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new Error('TEST_STACK is not JSON: expected { engine, mysqlUrl, rabbitmqUrl, redisUrl, consulUrl }', {
      cause,
    });
  }
  const parsed = testServersSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const bad = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  throw new Error(`TEST_STACK does not describe the test servers: ${bad}`);
}

export type FreshDatabase = {
  /** Of a user who has all rights in this schema and none elsewhere. */
  url: string;
  /** Of the administrator, with this schema selected. */
  adminUrl: string;
  /** Of the schema. */
  name: string;
  /** Removes schema and user; whoever still uses them is disconnected. */
  drop(): Promise<void>;
};

/** Makes a schema `t_<label>_<random>` and a user for it, on the engine under test. */
export async function freshDatabase(label: string): Promise<FreshDatabase> {
  const admin = testServers().mysqlUrl;
  const short = label
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .slice(0, 16);
  // At most 32 characters, the longest name of a MySQL user.
  const name = `t_${short}_${randomBytes(5).toString('hex')}`;
  const password = randomBytes(18).toString('base64url');
  await asAdmin(admin, async (run) => {
    await run(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4`);
    await run(`CREATE USER '${name}'@'%' IDENTIFIED BY '${password}'`);
    // In a GRANT an underscore stands for any character.
    await run(`GRANT ALL PRIVILEGES ON \`${name.replaceAll('_', '\\_')}\`.* TO '${name}'@'%'`);
  });
  return {
    url: withDatabase(admin, name, { user: name, password }),
    adminUrl: withDatabase(admin, name),
    name,
    drop: () =>
      asAdmin(admin, async (run) => {
        // An open transaction would make DROP wait for its metadata lock.
        // Not information_schema.processlist: it fails while anybody runs a statement with a character beyond the BMP.
        const using = (await run('SHOW PROCESSLIST')).filter(({ user, db }) => user === name || db === name);
        for (const { id } of using) await run(`KILL ${Number(id)}`).catch(() => {});
        await run(`DROP DATABASE IF EXISTS \`${name}\``);
        await run(`DROP USER IF EXISTS '${name}'@'%'`);
      }),
  };
}

type Run = (sql: string) => Promise<Record<string, unknown>[]>;

async function asAdmin(url: string, work: (run: Run) => Promise<void>): Promise<void> {
  const connection = await mysql.createConnection({ uri: url, connectTimeout: 10_000 });
  try {
    await work(async (sql) => {
      const [rows] = await connection.query(sql);
      // The names of information_schema's columns are in capitals in MySQL 8 and later.
      return Array.isArray(rows)
        ? rows.map((row) => Object.fromEntries(Object.entries(row).map(([key, value]) => [key.toLowerCase(), value])))
        : [];
    });
  } finally {
    await connection.end();
  }
}

function withDatabase(url: string, name: string, as?: { user: string; password: string }): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  if (as !== undefined) {
    changed.username = as.user;
    changed.password = as.password;
  }
  return changed.href;
}

export { eventually } from './eventually.ts';
export { freePort, type RawAnswer, type RawHead, type RawRequest, type RawStep, rawHttp } from './sockets.ts';
