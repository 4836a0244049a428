import type { Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import { type Backoff, nextBackoffMs, pause } from '../../backoff.ts';
import type { Log } from '../../log.ts';
import type { RabbitConnection } from '../../rabbit.ts';
import { messageOf, weightOf } from '../message.ts';
import { partCount } from '../part.ts';
import { sourceUuid } from '../schema.ts';
import { createLeaseKeeper, defaultLeaseTimes, type Lease, type LeaseTimes } from './lease.ts';
import { createMarker } from './marker.ts';
import { createRelayMetrics, type RelayMetrics } from './metrics.ts';
import { batchLimit, createWake, defaultPace, expectedRowBytes, type Found, nextPollMs, type Pace } from './pace.ts';
import { createPublisher, type Refusal } from './publisher.ts';
import { oldestPendingMs, type ReadRow, readPending } from './reader.ts';
import { createTurns } from './turns.ts';
import { createWindow, type HeldRow } from './window.ts';

/** Every buffer's bound. */
export type RelayBounds = {
  /** Rows of one part that are read and not marked. */
  maxHeldPerPart: number;
  /** Bytes of all of them, roughly: nothing is read above it. */
  maxHeldBytes: number;
  maxReadRows: number;
  maxReadBytes: number;
  maxMarkRows: number;
  maxUnconfirmed: number;
  maxUnconfirmedBytes: number;
  maxMessageBytes: number;
};

export const defaultRelayBounds: RelayBounds = {
  maxHeldPerPart: 1_000,
  maxHeldBytes: 64 * 1024 * 1024,
  maxReadRows: 1_000,
  maxReadBytes: 8 * 1024 * 1024,
  maxMarkRows: 1_000,
  maxUnconfirmed: 2_000,
  maxUnconfirmedBytes: 16 * 1024 * 1024,
  maxMessageBytes: 15 * 1024 * 1024,
};

export type RelayOptions = {
  /** Of the database with the outbox, READ COMMITTED; three connections are used at most. */
  db: Pool;
  rabbit: RabbitConnection;
  exchange: string;
  /** Names this relay in the leases and the logs. */
  relayId: string;
  log: Log;
  metrics: Registry;
  leaseTimes?: LeaseTimes;
  bounds?: Partial<RelayBounds>;
  pace?: Pace;
};

export type Relay = {
  /** The UUID of the outbox that it publishes. */
  readonly source: string;
  /** There is something new in the outbox: read now instead of at the next poll. */
  notify(): void;
  /** Parts whose lease it holds. */
  parts(): number[];
  /** Why it cannot publish at the moment, for health checks; undefined when it can. */
  trouble(): string | undefined;
  /** Reads nothing more, waits for confirms at most `graceMs`, marks, and gives the leases back. */
  stop(graceMs: number): Promise<void>;
  /** Ends at once and leaves the database alone: the outbox is not there any more. */
  abandon(): Promise<void>;
};

/** A refused message is sent again after so long; others of its key wait for it. */
const refusalBackoff: Backoff = { baseMs: 100, capMs: 5_000 };

/** Moves outbox rows to an exchange: see the parts for how each promise is kept. Starts at once. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { db, rabbit, exchange, relayId, log, leaseTimes = defaultLeaseTimes, pace = defaultPace } = options;
  const bounds = { ...defaultRelayBounds, ...options.bounds };
  const source = await sourceUuid(db);
  const window = createWindow();
  const wake = createWake();
  const inTurn = createTurns();
  const stopping = new AbortController();
  const allParts = Array.from({ length: partCount }, (_, part) => part);
  // Whoever waits for a part to be empty.
  const emptied = new Map<number, () => void>();

  const metrics: RelayMetrics = createRelayMetrics(options.metrics, {
    leases: () => leases.all().length,
    unconfirmed: () => publisher.unconfirmed(),
    oldestUnconfirmedMs: () => publisher.oldestUnconfirmedMs(),
    heldRows: window.rows,
    heldBytes: window.weight,
    refusedRows: window.refused,
    lagMs: () => oldestPendingMs(db, allParts),
  });

  const leases = createLeaseKeeper({
    db,
    relayId,
    source,
    times: leaseTimes,
    inTurn,
    log,
    events: {
      onTaken: ({ part, token }) => {
        log.info({ part, fencing: token }, 'took the lease of a part');
        wake.wake();
      },
      onLost: (part) => {
        log.info({ part }, 'no longer holds the lease of a part');
        window.drop(part);
        settleEmpty();
      },
      onReleasing: (part) =>
        new Promise((resolve) => {
          // What is on its way is waited for, the rest is left to the next relay.
          window.dropUnsent(part);
          emptied.set(part, resolve);
          settleEmpty();
        }),
    },
  });

  const marker = createMarker({
    db,
    owner: leases.owner,
    inTurn,
    maxRows: bounds.maxMarkRows,
    log,
    onMarked(rows) {
      window.marked(rows);
      metrics.marked(rows.length);
      settleEmpty();
      if (reading === 'waits for room') wake.wake();
    },
    onFenced(rows) {
      metrics.fenced(rows.length);
      log.warn({ rows: rows.length }, 'rows were not marked: another relay has their parts');
      for (const { part, token } of rows) leases.disown(part, token);
    },
  });

  const publisher = createPublisher({
    rabbit,
    exchange,
    bounds,
    log,
    events: {
      onOpen: () => wake.wake(),
      onConfirmed(row) {
        window.confirm(row);
        if (row.state !== 'confirmed') return;
        metrics.published(row.ageAtReadMs + performance.now() - row.readAtMs);
        marker.add(row);
      },
      onRefused(row, why) {
        metrics.refused(why);
        window.refuse(row);
        if (row.state === 'refused') void sendAgainLater(row, why);
      },
      onLost() {
        metrics.lost(window.sent());
        window.dropUnconfirmed();
        settleEmpty();
      },
      onRoom: pumpSoon,
    },
  });

  let reading: 'goes on' | 'waits for room' = 'goes on';
  let rowBytes = 1_024;

  function settleEmpty(): void {
    for (const [part, done] of emptied) {
      if (window.size(part) > 0) continue;
      emptied.delete(part);
      done();
    }
  }

  // Thousands may be refused for one reason: one line in ten seconds tells of it.
  const toldAtMs = new Map<string, number>();

  async function sendAgainLater(row: HeldRow, why: Refusal): Promise<void> {
    const now = performance.now();
    if (now - (toldAtMs.get(why) ?? -Infinity) > 10_000) {
      toldAtMs.set(why, now);
      log.error(
        { id: row.id, topic: row.topic, why, refusals: row.refusals },
        'messages are not taken by the broker; they stay in the outbox, their keys wait and they are sent again',
      );
    }
    let delayMs: number | undefined;
    for (let n = 0; n < Math.min(row.refusals, 8); n += 1) delayMs = nextBackoffMs(delayMs, refusalBackoff);
    await pause(delayMs ?? refusalBackoff.baseMs, stopping.signal);
    if (stopping.signal.aborted) return;
    window.retry(row);
    pumpSoon();
  }

  // Confirms come many at a time: once a turn is enough.
  let pumping = false;
  function pumpSoon(): void {
    if (pumping) return;
    pumping = true;
    queueMicrotask(() => {
      pumping = false;
      pump();
    });
  }

  /** Sends what is ready while there is room and the lease is ours. */
  function pump(): void {
    const tokens = new Map<number, string | undefined>();
    while (publisher.hasRoom()) {
      const row = window.take();
      if (row === undefined) return;
      if (!tokens.has(row.part)) tokens.set(row.part, leases.held(row.part)?.token);
      if (tokens.get(row.part) === row.token) publisher.send(row, messageOf(row, source));
      else window.drop(row.part);
    }
  }

  async function read(parts: readonly Lease[], limit: number): Promise<Found> {
    const drops = window.drops();
    const except = parts.flatMap(({ part }) => window.ids(part));
    const rows = await readPending(db, { parts: parts.map(({ part }) => part), except, limit });
    const readAtMs = performance.now();
    metrics.read(rows.length);
    if (rows.length === 0) return 'none';
    // What was held then has been let go since: what was read may not go ahead of it.
    if (drops !== window.drops()) return 'more';
    const byPart = Map.groupBy(rows, ({ part }) => part);
    let bytes = 0;
    for (const lease of parts) {
      const own = byPart.get(lease.part) ?? [];
      const room = bounds.maxHeldPerPart - window.size(lease.part);
      if (leases.held(lease.part)?.token !== lease.token) continue;
      const held = own.slice(0, Math.max(0, room)).map((row) => heldRow(row, lease, readAtMs));
      for (const row of held) bytes += weightOf(row);
      window.add(held);
    }
    rowBytes = expectedRowBytes(rowBytes, bytes, rows.length);
    pump();
    return rows.length < limit ? 'some' : 'more';
  }

  /** Parts that may be read: ours, and with room for half of what they may hold. */
  function readable(): Lease[] {
    if (!publisher.isOpen() || window.weight() >= bounds.maxHeldBytes) return [];
    return leases
      .all()
      .filter(({ part }) => leases.held(part) && window.size(part) * 2 <= bounds.maxHeldPerPart)
      .sort((a, b) => a.part - b.part);
  }

  async function readOn(): Promise<void> {
    let waitMs = 0;
    let failedMs: number | undefined;
    // Of one query for all parts until there is more than it gives; then of a query a part, in turn, until all are read.
    let inTurn: { at: number; exhausted: number } | undefined;
    while (!stopping.signal.aborted) {
      const parts = readable();
      if (parts.length === 0) {
        reading = 'waits for room';
        await wake.wait(pace.maxMs);
        reading = 'goes on';
        continue;
      }
      const limit = batchLimit(bounds.maxReadRows, bounds.maxReadBytes, rowBytes);
      try {
        if (inTurn === undefined) {
          const found = await read(parts, limit);
          if (found === 'more') inTurn = { at: 0, exhausted: 0 };
          waitMs = nextPollMs(waitMs, found, pace);
        } else {
          inTurn.at += 1;
          const lease = parts[inTurn.at % parts.length] as Lease;
          const room = bounds.maxHeldPerPart - window.size(lease.part);
          const found = await read([lease], Math.min(limit, room));
          inTurn.exhausted = found === 'more' ? 0 : inTurn.exhausted + 1;
          if (inTurn.exhausted >= parts.length) inTurn = undefined;
          waitMs = 0;
        }
        failedMs = undefined;
      } catch (error) {
        log.warn({ err: error }, 'the outbox could not be read');
        failedMs = nextBackoffMs(failedMs, { baseMs: 50, capMs: 2_000 });
        await pause(failedMs, stopping.signal);
      }
      await wake.wait(waitMs);
    }
  }

  leases.start();
  const readUntilStopped = readOn();

  return {
    source,
    notify: wake.wake,
    parts: () => leases.all().map(({ part }) => part),
    trouble: () => (publisher.isOpen() ? undefined : 'no channel to RabbitMQ'),
    async stop(graceMs) {
      stopping.abort();
      wake.wake();
      await within(readUntilStopped, graceMs);
      try {
        await within(leases.stop(), graceMs);
        await within(marker.drained(), graceMs);
      } finally {
        marker.giveUp();
        await publisher.close();
      }
    },
    async abandon() {
      stopping.abort();
      wake.wake();
      marker.giveUp();
      await Promise.all([leases.abandon(), readUntilStopped, publisher.close()]);
    },
  };
}

async function within(work: Promise<unknown>, ms: number): Promise<void> {
  const waiting = new AbortController();
  try {
    await Promise.race([work, pause(ms, waiting.signal)]);
  } finally {
    waiting.abort();
  }
}

// Spelt out: a spread costs several times as much, and this is done for each row.
function heldRow(row: ReadRow, { token }: Lease, readAtMs: number): HeldRow {
  return {
    id: row.id,
    part: row.part,
    kind: row.kind,
    epoch: row.epoch,
    topic: row.topic,
    subject: row.subject,
    subjectKey: row.subjectKey,
    op: row.op,
    payload: row.payload,
    headers: row.headers,
    at: row.at,
    token,
    state: 'waiting',
    refusals: 0,
    ageAtReadMs: row.ageMs,
    readAtMs,
  };
}
