import { randomBytes } from 'node:crypto';
import type { Pool } from 'mysql2/promise';
import { pause } from '../../backoff.ts';
import type { Log } from '../../log.ts';
import { leaseTable, relayTable, rowsOf, sourceTable } from '../schema.ts';
import { planLeases } from './lease-plan.ts';
import type { Turns } from './turns.ts';

/** The right to publish one part's rows and to mark them. */
export type Lease = {
  part: number;
  /** Grows with every change of hands: whoever has a lower one can no longer mark. Decimal text. */
  token: string;
  /** On this process's monotonic clock, in ms: from then on somebody else may have it. */
  validUntilMs: number;
};

export type LeaseTimes = {
  /** How long a lease lasts without being renewed, by the database's clock. */
  ttlMs: number;
  /** How often leases are renewed and shared anew. */
  renewEveryMs: number;
};

export const defaultLeaseTimes: LeaseTimes = { ttlMs: 6_000, renewEveryMs: 1_000 };

export type LeaseEvents = {
  onTaken(lease: Lease): void;
  /** Somebody else has it, or may have: nothing more may be sent for it. */
  onLost(part: number): void;
  /** It will be given back when this resolves, or after a lease's time at most: nothing new is to be begun. */
  onReleasing(part: number): Promise<void>;
};

export type LeaseKeeper = {
  /** As the leases' rows name this relay: its id and a random part, so that a restarted relay is another one. */
  readonly owner: string;
  /** The lease if it is valid now and not being given back. */
  held(part: number): Lease | undefined;
  all(): Lease[];
  /** The database has shown that somebody else has it. */
  disown(part: number, token: string): void;
  /** Renews, gives back and takes, once. Throws what the database throws. */
  tick(): Promise<void>;
  start(): void;
  /** Gives all back, when each is ready. */
  stop(): Promise<void>;
  /** Loses all at once and does nothing more: there is nothing left to give back to. */
  abandon(): Promise<void>;
};

const expiry = 'UTC_TIMESTAMP(6) + INTERVAL ? MICROSECOND';

/** Takes and keeps this relay's share of the leases. */
export function createLeaseKeeper({
  db,
  relayId,
  source,
  times: { ttlMs, renewEveryMs },
  events,
  inTurn,
  log,
  nowMs = () => performance.now(),
}: {
  db: Pool;
  relayId: string;
  /** Of the outbox whose leases are taken, and no other's: it may be dropped and made anew under this relay. */
  source: string;
  times: LeaseTimes;
  events: LeaseEvents;
  /** Shared with whoever else locks several leases in one statement, or they would end in deadlocks. */
  inTurn: Turns;
  log: Log;
  nowMs?: () => number;
}): LeaseKeeper {
  const owner = `${relayId.slice(0, 50)}#${randomBytes(5).toString('hex')}`;
  const ttlUs = ttlMs * 1000;
  const leases = new Map<number, Lease>();
  const releasing = new Map<number, Promise<void>>();
  const stopping = new AbortController();
  let running: Promise<void> | undefined;

  function lose(part: number): void {
    if (!leases.delete(part)) return;
    events.onLost(part);
  }

  async function renew(): Promise<void> {
    const before = nowMs();
    await db.query(
      `INSERT INTO ${relayTable} (id, expires_at) VALUES (?, ${expiry}) ON DUPLICATE KEY UPDATE expires_at = ${expiry}`,
      [owner, ttlUs, ttlUs],
    );
    const held = [...leases.values()];
    if (held.length > 0) {
      // One that has run out is not renewed: somebody may be about to take it.
      await inTurn(() =>
        db.query(
          `UPDATE ${leaseTable} SET expires_at = ${expiry}
           WHERE owner = ? AND expires_at > UTC_TIMESTAMP(6) AND (part, token) IN (${held.map(() => '(?, ?)').join(', ')})`,
          [ttlUs, owner, ...held.flatMap(({ part, token }) => [part, token])],
        ),
      );
    }
    const rows = await readLeases();
    for (const lease of held) {
      const row = rows.find(({ part }) => part === lease.part);
      if (row?.owner === owner && row.token === lease.token) lease.validUntilMs = before + ttlMs;
      else lose(lease.part);
    }
  }

  /** With `owner` undefined for a lease whose time is over. */
  async function readLeases(): Promise<{ part: number; owner: string | undefined; token: string }[]> {
    const rows = await rowsOf<{ part: number; owner: string | null; token: string }>(
      db,
      `SELECT part, IF(expires_at > UTC_TIMESTAMP(6), owner, NULL) AS owner, CAST(token AS CHAR) AS token
       FROM ${leaseTable} ORDER BY part`,
    );
    return rows.map(({ part, owner: by, token }) => ({ part, owner: by ?? undefined, token }));
  }

  async function liveRelays(): Promise<string[]> {
    const rows = await rowsOf<{ id: string }>(db, `SELECT id FROM ${relayTable} WHERE expires_at > UTC_TIMESTAMP(6)`);
    return rows.map(({ id }) => id);
  }

  async function take(part: number): Promise<void> {
    const before = nowMs();
    const [result] = await db.query(
      `UPDATE ${leaseTable} SET owner = ?, token = LAST_INSERT_ID(token + 1), expires_at = ${expiry}
       WHERE part = ? AND (owner IS NULL OR expires_at <= UTC_TIMESTAMP(6))
         AND EXISTS (SELECT 1 FROM ${sourceTable} WHERE only_row = 1 AND uuid = ?)`,
      [owner, ttlUs, part, source],
    );
    const { affectedRows, insertId } = result as { affectedRows: number; insertId: number | string };
    if (affectedRows !== 1) return;
    const lease = { part, token: String(insertId), validUntilMs: before + ttlMs };
    if (stopping.signal.aborted) return giveBack(lease);
    leases.set(part, lease);
    events.onTaken(lease);
  }

  async function giveBack({ part, token }: Lease): Promise<void> {
    await db.query(
      `UPDATE ${leaseTable} SET owner = NULL, expires_at = NULL WHERE part = ? AND owner = ? AND token = ?`,
      [part, owner, token],
    );
  }

  /** The lease is renewed while what has been begun is finished. */
  function release(lease: Lease): Promise<void> {
    const under = releasing.get(lease.part);
    if (under !== undefined) return under;
    const done = (async () => {
      const waiting = new AbortController();
      await Promise.race([events.onReleasing(lease.part), pause(ttlMs, waiting.signal)]);
      waiting.abort();
      if (leases.get(lease.part) !== lease) return;
      lose(lease.part);
      await giveBack(lease);
    })()
      .catch((error) => log.warn({ err: error, part: lease.part }, 'a lease could not be given back; it will run out'))
      .finally(() => releasing.delete(lease.part));
    releasing.set(lease.part, done);
    return done;
  }

  async function tick(): Promise<void> {
    for (const { part, validUntilMs } of [...leases.values()]) if (nowMs() >= validUntilMs) lose(part);
    await renew();
    if (stopping.signal.aborted) return;
    const [rows, members] = [await readLeases(), await liveRelays()];
    const seen = rows.map((row) => ({
      part: row.part,
      // What is being given back counts as another's: it is neither to be given back twice nor to be taken.
      owner: releasing.has(row.part)
        ? 'giving back'
        : row.owner === owner && !leases.has(row.part)
          ? 'lost'
          : row.owner,
    }));
    const plan = planLeases(owner, members, seen);
    for (const part of plan.release) {
      const lease = leases.get(part);
      if (lease !== undefined) void release(lease);
    }
    for (const part of plan.take) await take(part);
  }

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await tick();
      } catch (error) {
        log.warn({ err: error }, 'leases could not be renewed');
      }
      await pause(renewEveryMs, stopping.signal);
    }
  }

  return {
    owner,
    held(part) {
      const lease = leases.get(part);
      if (lease === undefined || releasing.has(part)) return undefined;
      if (nowMs() < lease.validUntilMs) return lease;
      lose(part);
      return undefined;
    },
    all: () => [...leases.values()],
    disown(part, token) {
      if (leases.get(part)?.token === token) lose(part);
    },
    tick,
    start() {
      running ??= run();
    },
    async abandon() {
      stopping.abort();
      for (const part of [...leases.keys()]) lose(part);
      await running;
    },
    async stop() {
      stopping.abort();
      await running;
      // Renewed while they are given back: what is under way may take a while.
      const renewing = new AbortController();
      const keepUp = (async () => {
        while ((await pause(renewEveryMs, renewing.signal)) === 'elapsed') await renew().catch(() => {});
      })();
      await Promise.all([...leases.values()].map(release));
      renewing.abort();
      await keepUp;
      await db.query(`DELETE FROM ${relayTable} WHERE id = ? OR expires_at < UTC_TIMESTAMP(6) - INTERVAL 1 HOUR`, [
        owner,
      ]);
    },
  };
}
