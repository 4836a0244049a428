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
  /** Marks nothing more; what is not marked is published again. */
  giveUp(): void;
};

const backoff: Backoff = { baseMs: 20, capMs: 1000 };

/**
 * Marks those of the rows whose lease is the owner's, under the token with which they were read. The leases are read
 * once, as the bits of one number, and locked until the marks are committed: nobody takes one over in between. (To join
 * them to each row costs the server half as much again, and of `part IN (SELECT …)` it may make a walk over all that waits.)
 */
export function markSql(
  owner: string,
  rows: readonly Pick<HeldRow, 'id' | 'part' | 'token'>[],
): { sql: string; values: unknown[] } {
  const tokens = new Map(rows.map(({ part, token }) => [`${part}/${token}`, [part, token]]));
  const held =
    `SELECT BIT_OR(1 << part) FROM ${leaseTable} ` +
    `WHERE owner = ? AND (part, token) IN (${[...tokens].map(() => '(?, ?)').join(', ')}) LOCK IN SHARE MODE`;
  return {
    sql: `UPDATE ${outboxTable} SET published = 1 WHERE id IN (?) AND published = 0 AND ((1 << part) & (${held})) <> 0`,
    values: [rows.map(({ id }) => id), owner, ...[...tokens.values()].flat()],
  };
}

/**
 * Marks rows as published, many in one statement, one statement at a time: while one runs, the next batch gathers. The
 * statement locks the rows' leases and marks only where the token is still ours, so a relay that slept
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
  const givenUp = new AbortController();
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    let delayMs: number | undefined;
    // What was confirmed in the same turn goes into the same statement.
    await undefined;
    while (gathered.length > 0 && !givenUp.signal.aborted) {
      const taken = gathered.slice(0, maxRows);
      const batch = taken.filter((row) => row.state === 'confirmed');
      try {
        if (batch.length > 0) await mark(batch);
        gathered.splice(0, taken.length);
        delayMs = undefined;
      } catch (error) {
        log.warn({ err: error, rows: batch.length }, 'rows could not be marked as published; trying again');
        delayMs = nextBackoffMs(delayMs, backoff);
        await pause(delayMs, givenUp.signal);
      }
    }
    // In the turn in which there was nothing left: what is added later starts anew.
    running = undefined;
  }

  async function mark(batch: HeldRow[]): Promise<void> {
    const { sql, values } = markSql(owner, batch);
    const [result] = await inTurn(() => db.query(sql, values));
    if ((result as { affectedRows: number }).affectedRows === batch.length) return onMarked(batch);
    const ids = batch.map(({ id }) => id);
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
      if (givenUp.signal.aborted) return;
      gathered.push(row);
      running ??= run();
    },
    async drained() {
      while (running !== undefined) await running;
    },
    giveUp: () => givenUp.abort(),
  };
}
