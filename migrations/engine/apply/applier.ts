import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { RowMessage } from '@strangler/platform/contracts/row-message.ts';
import type { Log } from '@strangler/platform/log.ts';
import { CommitOutcomeUnknown, conflictOf, withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Connection, Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import {
  type BatchLimits,
  bytesOfChange,
  newestOfEach,
  splitByVersion,
  splitIntoBatches,
  type TableChange,
} from './choose-changes.ts';
import { createApplyMetrics } from './metrics.ts';
import { countParked, noteAttempt, park, takeParked, unpark } from './parked.ts';
import { recordPosition } from './positions.ts';
import type { MappedTable, RowChange } from './row-shape.ts';
import { readVersions, restoreVersions, VersionRace, writeVersions } from './versions.ts';
import { createRowWriter, type RowWriter, type WriteOutcome } from './write-rows.ts';

export type ApplierOptions = {
  /** Made by `createApplyPool`. */
  pool: Pool;
  /** The tables that changes may be of, by their source's name. */
  tables: readonly MappedTable[];
  log: Log;
  registry?: Registry;
  /** What one transaction takes: 500 rows and 4 MiB unless told. */
  limits?: Partial<BatchLimits>;
  /** Changes of one table that may wait for a unique value, 10 000 unless told; one more stops the pipe, loudly. */
  maxParked?: number;
  /** Tries of one transaction before a conflict of locks is thrown, 20 unless told. */
  maxAttempts?: number;
};

/** A change that the target can never take as it is: for the dead letters, with its reason. */
export type RefusedChange = { message: RowMessage; reason: string };

export type ApplyReport = {
  /** Changes whose image is in the target now. */
  applied: number;
  /** Changes that were not newer than what the target, or the same batch, had. */
  duplicates: number;
  /** Changes that wait for another row to give up a unique value: kept in the target, so they may be acknowledged. */
  parked: number;
  refused: RefusedChange[];
};

export type Applier = {
  /**
   * Applies changes, in any order, with any repetition. When it resolves, all that is not `refused` is in the target
   * for good. When it throws, some of the changes may be: give all of them again.
   * `position` names the stream they came by, whose position is recorded with them.
   * @throws ParkingFull
   */
  apply(messages: readonly RowMessage[], position?: string): Promise<ApplyReport>;
  /** Tries the waiting changes of all tables again, and tells how many wait still. */
  retryParked(): Promise<number>;
};

/** How many waiting changes are tried in one transaction: beside every batch, and when nothing else is done. */
const parkedPerBatch = 200;
const parkedPerTry = 2000;

export function createApplier(options: ApplierOptions): Applier {
  const { pool, tables, log, maxParked = 10_000, maxAttempts = 20 } = options;
  const limits: BatchLimits = { maxRows: 500, maxBytes: 4 * 1024 * 1024, ...options.limits };
  const metrics = createApplyMetrics(options.registry);
  const bySource = new Map(tables.map((table) => [table.mapping.source, table]));
  const writers = new Map(tables.map((table) => [table.mapping.target, createRowWriter(table)]));

  async function apply(messages: readonly RowMessage[], position?: string): Promise<ApplyReport> {
    const report: ApplyReport = { applied: 0, duplicates: 0, parked: 0, refused: [] };
    const known: RowMessage[] = [];
    for (const message of messages) {
      if (bySource.has(message.table)) known.push(message);
      else report.refused.push({ message, reason: `${message.table}: expected a table of ${[...bySource.keys()]}` });
    }
    const touched = new Set<string>();
    for (const batch of splitIntoBatches(known, bytesOfChange, limits)) {
      const done = await applyBatch(batch, position);
      report.applied += done.applied;
      report.duplicates += done.duplicates;
      report.parked += done.parked;
      report.refused.push(...done.refused);
      for (const message of batch) touched.add(targetOf(message));
    }
    // After the commit: of two transactions, one that parks and one that makes room, the later one sees both.
    if (touched.size > 0) await settle([...touched], parkedPerBatch);
    return report;
  }

  const targetOf = (message: RowMessage): string => (bySource.get(message.table) as MappedTable).mapping.target;

  async function applyBatch(batch: readonly RowMessage[], position: string | undefined): Promise<ApplyReport> {
    const startedAt = performance.now();
    const entries = batch.map((message) => ({ table: targetOf(message), change: message }));
    const { newest, superseded } = newestOfEach(entries);
    const report = await transaction(async (connection) => {
      const keys = newest.map(({ table, change }) => ({ table, keyText: change.keyText }));
      const stored = await readVersions(connection, keys, 'update');
      const { fresh, duplicates } = splitByVersion(newest, stored);
      const written: ApplyReport = { applied: 0, duplicates: superseded + duplicates, parked: 0, refused: [] };
      if (fresh.length > 0) {
        await writeVersions(connection, fresh, stored);
        const undone: TableChange[] = [];
        for (const [table, changes] of groupByTable(fresh)) {
          const outcomes = await writerOf(table).write(connection, changes);
          const clashes = outcomes.filter((outcome) => outcome.kind === 'clash');
          if (clashes.length > 0) await park(connection, table, clashes, maxParked);
          count(written, outcomes);
          undone.push(...unwritten(outcomes).map((change) => ({ table, change })));
        }
        if (undone.length > 0) await restoreVersions(connection, undone, stored);
      }
      if (position !== undefined) await recordPosition(connection, position, batch);
      return written;
    });
    metrics.batch(batch.length, (performance.now() - startedAt) / 1000);
    tell(batch, report);
    return report;
  }

  const writerOf = (table: string): RowWriter => writers.get(table) as RowWriter;

  /** Tries the waiting changes of these tables again, until none of them moves; gives how many wait still. */
  async function settle(targets: readonly string[], perTry: number): Promise<number> {
    let waiting = await countParked(pool, targets);
    for (const table of waiting.keys()) {
      while ((await settleOnce(table, perTry)) > 0);
    }
    if (waiting.size > 0) waiting = await countParked(pool, targets);
    for (const table of targets) metrics.parked(table, waiting.get(table) ?? 0);
    return [...waiting.values()].reduce((sum, count) => sum + count, 0);
  }

  /** One try of a table's waiting changes, in one transaction; gives how many of them wait no more. */
  async function settleOnce(table: string, perTry: number): Promise<number> {
    const writer = writerOf(table);
    return await transaction(async (connection) => {
      const parked = (await takeParked(connection, table, perTry)).map(({ change }) => ({ table, change }));
      const keys = parked.map(({ change }) => ({ table, keyText: change.keyText }));
      if (keys.length === 0) return 0;
      const stored = await readVersions(connection, keys, 'update');
      const { fresh } = splitByVersion(parked, stored);
      await writeVersions(connection, fresh, stored);
      const tried = await writer.write(
        connection,
        fresh.map(({ change }) => change),
      );
      const clashed = tried.filter(({ kind }) => kind === 'clash').map(({ change }) => change);
      const outcomes = [
        ...tried.filter(({ kind }) => kind !== 'clash'),
        ...(clashed.length > 1
          ? await writer.rewrite(connection, clashed)
          : tried.filter(({ kind }) => kind === 'clash')),
      ];
      const waiting = new Set(outcomes.filter(({ kind }) => kind === 'clash').map(({ change }) => change));
      for (const outcome of outcomes) {
        if (outcome.kind !== 'refused') continue;
        // Its clash hid that the target cannot take it. It stays parked: nothing that was acknowledged may be lost.
        waiting.add(outcome.change);
        log.error({ table, key: outcome.change.keyText, reason: outcome.reason }, 'a waiting change is refused');
      }
      const undone = [...waiting].map((change) => ({ table, change }));
      if (undone.length > 0) await restoreVersions(connection, undone, stored);
      await noteAttempt(connection, table, [...waiting]);
      const settled = parked.map(({ change }) => change).filter((change) => !waiting.has(change));
      await unpark(connection, table, settled);
      return settled.length;
    });
  }

  /** One transaction, begun anew after a conflict of locks, after a race, and when a COMMIT was not answered. */
  async function transaction<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    let delayMs: number | undefined;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await withTransaction(pool, 'READ COMMITTED', work, { maxAttempts: 1 });
      } catch (error) {
        const cause = retryCause(error);
        if (cause === undefined || attempt >= maxAttempts) throw error;
        metrics.retry(cause);
        delayMs = nextBackoffMs(delayMs, { baseMs: 5, capMs: 500 });
        await pause(delayMs);
      }
    }
  }

  function tell(batch: readonly RowMessage[], report: ApplyReport): void {
    const [first] = batch;
    if (first === undefined) return;
    // A batch is counted under one table if it is of one, else under all of them together.
    const table = batch.every((message) => message.table === first.table) ? targetOf(first) : 'several';
    metrics.changes(table, 'applied', report.applied);
    metrics.changes(table, 'duplicate', report.duplicates);
    metrics.changes(table, 'parked', report.parked);
    metrics.changes(table, 'refused', report.refused.length);
    const newestAtMs = Math.max(...batch.map(({ at }) => Date.parse(at)));
    metrics.lag((Date.now() - newestAtMs) / 1000);
  }

  return {
    apply,
    retryParked: () => settle([...writers.keys()], parkedPerTry),
  };
}

/** Why a transaction may be begun anew; undefined if that would not help. */
const retryCause = (error: unknown): string | undefined => {
  if (error instanceof VersionRace) return 'version-race';
  // Whatever became of it: versions tell the repetition what is there already.
  if (error instanceof CommitOutcomeUnknown) return 'commit-unknown';
  return conflictOf(error);
};

const groupByTable = (entries: readonly TableChange[]): Map<string, RowChange[]> => {
  const groups = new Map<string, RowChange[]>();
  for (const { table, change } of entries) {
    const group = groups.get(table);
    if (group === undefined) groups.set(table, [change]);
    else group.push(change);
  }
  return groups;
};

const unwritten = (outcomes: readonly WriteOutcome[]): RowChange[] =>
  outcomes.filter(({ kind }) => kind === 'clash' || kind === 'refused').map(({ change }) => change);

const count = (report: ApplyReport, outcomes: readonly WriteOutcome[]): void => {
  for (const outcome of outcomes) {
    if (outcome.kind === 'written') report.applied += 1;
    else if (outcome.kind === 'present') report.duplicates += 1;
    else if (outcome.kind === 'clash') report.parked += 1;
    // The change is the message that came: nothing on the way makes another.
    else report.refused.push({ message: outcome.change as RowMessage, reason: outcome.reason });
  }
};
