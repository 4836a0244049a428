import type { Pool } from 'mysql2/promise';
import { type Backoff, nextBackoffMs, pause } from '../../backoff.ts';
import type { Log } from '../../log.ts';
import { leaseTable, outboxTable, rowsOf } from '../schema.ts';
import type { Turns } from './turns.ts';
import type { HeldRow } from './window.ts';

export type Marker = {
  /** The broker has confirmed this row. */
  add(row: HeldRow): void;
  /** Resolves when all that was added is marked, given up or refused. */
  drained(): Promise<void>;
};

const backoff: Backoff = { baseMs: 20, capMs: 1000 };

/**
 * Marks rows as published, many in one statement, one statement at a time: while one runs, the next batch gathers. The
 * statement takes a lock on each row's lease and marks only where the token is still ours, so a relay that slept
 * through the loss of its lease marks nothing. A row that was dropped meanwhile is left out.
 */
export function createMarker({
  db,
  owner,
  maxRows,
  onMarked,
  onFenced,
  inTurn,
  log,
}: {
  db: Pool;
  owner: string;
  maxRows: number;
  /** They are published for good: marked by us, or found marked. */
  onMarked(rows: HeldRow[]): void;
  /** These rows' leases are somebody else's. */
  onFenced(rows: HeldRow[]): void;
  inTurn: Turns;
  log: Log;
}): Marker {
  const gathered: HeldRow[] = [];
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    let delayMs: number | undefined;
    // What was confirmed in the same turn goes into the same statement.
    await undefined;
    while (gathered.length > 0) {
      const taken = gathered.slice(0, maxRows);
      const batch = taken.filter((row) => row.state === 'confirmed');
      try {
        if (batch.length > 0) await mark(batch);
        gathered.splice(0, taken.length);
        delayMs = undefined;
      } catch (error) {
        log.warn({ err: error, rows: batch.length }, 'rows could not be marked as published; trying again');
        delayMs = nextBackoffMs(delayMs, backoff);
        await pause(delayMs);
      }
    }
    // In the turn in which there was nothing left: what is added later starts anew.
    running = undefined;
  }

  async function mark(batch: HeldRow[]): Promise<void> {
    const tokens = new Map(batch.map((row) => [`${row.part}/${row.token}`, row]));
    const ids = batch.map(({ id }) => id);
    // Locks the outbox rows first and then the leases, in this order always.
    const [result] = await inTurn(() =>
      db.query(
        `UPDATE ${outboxTable} AS o STRAIGHT_JOIN ${leaseTable} AS l ON l.part = o.part SET o.published = 1
       WHERE o.id IN (?) AND o.published = 0 AND l.owner = ?
         AND (l.part, l.token) IN (${[...tokens].map(() => '(?, ?)').join(', ')})`,
        [ids, owner, ...[...tokens.values()].flatMap(({ part, token }) => [part, token])],
      ),
    );
    if ((result as { affectedRows: number }).affectedRows === batch.length) return onMarked(batch);
    const open = await rowsOf<{ row_id: string }>(
      db,
      `SELECT CAST(id AS CHAR) AS row_id FROM ${outboxTable} WHERE id IN (?) AND published = 0`,
      [ids],
    );
    const openIds = new Set(open.map(({ row_id }) => row_id));
    onMarked(batch.filter(({ id }) => !openIds.has(id)));
    const fenced = batch.filter(({ id }) => openIds.has(id));
    if (fenced.length > 0) onFenced(fenced);
  }

  return {
    add(row) {
      gathered.push(row);
      running ??= run();
    },
    async drained() {
      while (running !== undefined) await running;
    },
  };
}
