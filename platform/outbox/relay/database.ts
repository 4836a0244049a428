import type { Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import { createPool } from '../../mysql/pool.ts';

/**
 * A pool as a relay needs it: READ COMMITTED, under which marking locks nothing but what it marks, and short waits for
 * locks, since what could not be done is tried again.
 */
export function createRelayPool(url: string, registry?: Registry): Pool {
  const pool = createPool(url, {
    connectionLimit: 5,
    ...(registry === undefined ? {} : { metrics: { registry, pool: 'relay' } }),
  });
  pool.pool.on('connection', (connection) => {
    for (const set of [
      'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
      'SET SESSION innodb_lock_wait_timeout = 3',
    ]) {
      connection.query(set, (error) => {
        if (error) connection.destroy();
      });
    }
  });
  return pool;
}
