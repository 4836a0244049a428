import mysql, { type Pool } from 'mysql2/promise';
import { Gauge, type Registry } from 'prom-client';

export type Dialect = 'mysql' | 'mariadb';

export type PoolOptions = {
  /** Connections at most, 10 unless told. */
  connectionLimit?: number;
  /** How many may wait for a connection, 200 unless told; one more is refused at once. */
  queueLimit?: number;
  /** How long making a connection may take, 5000 ms unless told. */
  connectTimeoutMs?: number;
  /** How long a statement waits for a row that another has locked, whole seconds; the server's own bound unless told. */
  lockWaitSeconds?: number;
  /** Several statements in one query; false unless told. */
  multipleStatements?: boolean;
  /** Registers the gauge `mysql_pool_<pool>_connections`; `pool` is letters, digits and underscores. */
  metrics?: { registry: Registry; pool: string };
};

/** Throws a TypeError that does not repeat the address's password unless it is `mysql://user:password@host:port/database`. */
export function checkMysqlUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== 'mysql:' || parsed.hostname === '') {
    throw new TypeError(
      `a database address: expected mysql://user:password@host:port/database, found ${parsed ? `${parsed.protocol}//${parsed.host}` : 'no address'}`,
    );
  }
  return parsed;
}

/**
 * A pool for MySQL or MariaDB. Times are UTC both ways. DECIMAL comes as a string; BIGINT as a number, or as a
 * string where a number would lose digits. JSON columns come as text on both engines (MariaDB knows no other way).
 */
export function createPool(url: string, options: PoolOptions = {}): Pool {
  checkMysqlUrl(url);
  const {
    connectionLimit = 10,
    queueLimit = 200,
    connectTimeoutMs = 5000,
    lockWaitSeconds,
    multipleStatements = false,
    metrics,
  } = options;
  const pool = mysql.createPool({
    uri: url,
    charset: 'utf8mb4',
    timezone: 'Z',
    decimalNumbers: false,
    supportBigNumbers: true,
    bigNumberStrings: false,
    jsonStrings: true,
    multipleStatements,
    waitForConnections: true,
    connectionLimit,
    queueLimit,
    connectTimeout: connectTimeoutMs,
    enableKeepAlive: true,
    keepAliveInitialDelay: 10_000,
  });
  // Queued before whatever the connection was taken for. `timezone` alone tells the driver, not the server.
  const locks =
    lockWaitSeconds === undefined ? '' : `, innodb_lock_wait_timeout = ${Math.max(1, Math.ceil(lockWaitSeconds))}`;
  pool.pool.on('connection', (connection) => {
    connection.query(`SET time_zone = '+00:00'${locks}`, (error) => {
      if (error) connection.destroy();
    });
  });
  if (metrics) measure(pool, metrics.registry, metrics.pool);
  return pool;
}

/** Which engine answers: they differ in JSON, in locking reads, in GTIDs. */
export async function dialectOf(pool: Pick<Pool, 'query'>): Promise<Dialect> {
  const [rows] = await pool.query('SELECT VERSION() AS version');
  const [row] = rows as { version: string }[];
  return row?.version.toLowerCase().includes('mariadb') ? 'mariadb' : 'mysql';
}

type PoolQueues = Record<'_allConnections' | '_freeConnections' | '_connectionQueue', { length: number }>;

/** One gauge a pool, so that pools come and go on their own: `mysql_pool_<name>_connections`. */
function measure(pool: Pool, registry: Registry, name: string): void {
  // The driver tells of waiting requests when they join its queue, not when they leave it.
  const queues = pool.pool as unknown as PoolQueues;
  new Gauge({
    name: `mysql_pool_${name}_connections`,
    help: 'Connections of a MySQL pool that are used or idle, and requests that wait for one',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const open = queues._allConnections.length;
      const idle = queues._freeConnections.length;
      this.set({ state: 'used' }, open - idle);
      this.set({ state: 'idle' }, idle);
      this.set({ state: 'waiting' }, queues._connectionQueue.length);
    },
  });
}
