import { leaseTable, outboxInstaller, outboxTable } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import { readPrepared } from '../engine/fence/fence-holders.ts';
import { rowsOf } from '../engine/schema/queryable.ts';
import { readServer } from '../engine/schema/read-server.ts';
import { oldestUnpublishedMs } from '../engine/stages/measure.ts';
import { factOf } from './fact-of.ts';
import type { DatabaseFacts, OutboxFacts } from './facts.ts';

/** Asks one database about itself. Changes nothing, and never rejects. */
export async function gatherDatabase(
  { end, slices, where }: Omit<DatabaseFacts, 'server'>,
  db: Pool,
): Promise<DatabaseFacts> {
  const server = await factOf(async () => ({
    server: await readServer(db, end),
    ...(await settingsOf(db)),
    ...(await clockOf(db)),
    seesPrepared: (await readPrepared(db)) !== null,
    outbox: await outboxOf(db),
  }));
  return { end, slices, where, server };
}

/** The defaults of new sessions; the sessions of the pipe set their own. */
async function settingsOf(db: Pool): Promise<{ isolation: string; timeZone: string }> {
  const rows = await rowsOf<{ Variable_name: string; Value: string }>(
    db,
    // One name in MySQL, the other in older MariaDB.
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('transaction_isolation', 'tx_isolation', 'time_zone', 'system_time_zone')",
  );
  const value = (name: string) => rows.find((row) => row.Variable_name === name)?.Value;
  const zone = value('time_zone') ?? '';
  return {
    isolation: value('transaction_isolation') ?? value('tx_isolation') ?? 'unknown',
    timeZone: zone === 'SYSTEM' ? (value('system_time_zone') ?? zone) : zone,
  };
}

async function clockOf(db: Pool): Promise<{ clockAheadMs: number; clockDoubtMs: number }> {
  const sentMs = Date.now();
  const [row] = await rowsOf<{ at: number | string }>(
    db,
    "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) AS at",
  );
  const tookMs = Date.now() - sentMs;
  return { clockAheadMs: Number(row?.at) / 1_000 - (sentMs + tookMs / 2), clockDoubtMs: tookMs / 2 };
}

async function outboxOf(db: Pool): Promise<OutboxFacts | null> {
  if ((await outboxInstaller(db)) === undefined) return null;
  const [leases] = await rowsOf<{ parts: number; leased: number | string | null }>(
    db,
    `SELECT COUNT(*) AS parts, SUM(owner IS NOT NULL AND expires_at > UTC_TIMESTAMP(6)) AS leased FROM ${leaseTable}`,
  );
  const [size] = await rowsOf<{ bytes: number | string | null }>(
    db,
    `SELECT SUM(DATA_LENGTH + INDEX_LENGTH) AS bytes FROM information_schema.TABLES
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?`,
    [outboxTable],
  );
  return {
    oldestUnpublishedMs: (await oldestUnpublishedMs(db)) ?? 0,
    parts: Number(leases?.parts ?? 0),
    leased: Number(leases?.leased ?? 0),
    bytes: Number(size?.bytes ?? 0),
  };
}
