import type { Pool } from 'mysql2/promise';

const fencedTables = ['stock_levels', 'stock_adjustments'];
const events = ['INSERT', 'UPDATE', 'DELETE'];

/** As the engine installs it on what the slice maps: only a session with the pass of a closed fence writes. */
export async function installFence(db: Pool): Promise<void> {
  await db.query(
    'CREATE TABLE strangler_fence (slice VARCHAR(64) PRIMARY KEY, state VARCHAR(8), pass VARBINARY(64), epoch INT UNSIGNED, owner VARCHAR(16)) ENGINE=InnoDB',
  );
  await db.query("INSERT INTO strangler_fence VALUES ('inventory', 'open', 'the-pass', 1, 'service')");
  for (const table of fencedTables) {
    for (const event of events) {
      await db.query(`CREATE TRIGGER fence_${table}_${event} BEFORE ${event} ON ${table} FOR EACH ROW
        BEGIN
          IF NOT EXISTS (SELECT 1 FROM strangler_fence WHERE slice = 'inventory'
              AND IF(CONVERT(@strangler_apply USING utf8mb4) <=> '1', state = 'closed' AND pass = CAST(@strangler_pass AS BINARY), state = 'open')
              LOCK IN SHARE MODE) THEN
            SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 45045, MESSAGE_TEXT = 'strangler fence: inventory epoch 1, owner monolith: closed';
          END IF;
        END`);
    }
  }
}

export async function removeFence(db: Pool): Promise<void> {
  for (const table of fencedTables) {
    for (const event of events) await db.query(`DROP TRIGGER fence_${table}_${event}`);
  }
  await db.query('DROP TABLE strangler_fence');
}

export async function setFence(db: Pool, state: 'open' | 'closed'): Promise<void> {
  await db.query("UPDATE strangler_fence SET state = ? WHERE slice = 'inventory'", [state]);
}
