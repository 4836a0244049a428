import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { RowMessage, RowVersion } from '@strangler/platform/contracts/row-message.ts';
import type { Log } from '@strangler/platform/log.ts';
import { CommitOutcomeUnknown, conflictOf, withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Connection, Pool } from 'mysql2/promise';
import type { Registry } from 'prom-client';
import { inApplyTransaction, type StatementResult } from './apply-transaction.ts';
import {
  type BatchLimits,
  bytesOfChange,
  newestOfEach,
  rowId,
  type StoredVersion,
  splitByVersion,
  splitIntoBatches,
  type TableChange,
} from './choose-changes.ts';
import { createFencePass } from './fence-pass.ts';
import { createApplyMetrics } from './metrics.ts';
import { positionsTable } from './own-tables.ts';
import {
  countParked,
  noteAttempt,
  type ParkedCount,
  park,
  parkedCounts,
  parkedStatement,
  takeParked,
  unpark,
} from './parked.ts';
import { positionStatement, positionsStatement, readPosition } from './positions.ts';
import type { MappedTable, RowChange } from './row-shape.ts';
import {
  addVersions,
  raiseStatement,
  readVersions,
  restoreVersions,
  VersionRace,
  type VersionRow,
  versionsOf,
  versionsStatements,
  writeVersions,
} from './versions.ts';
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
  /**
   * Names the floor that must stand among the target's positions: no row is written without it, whoever takes it away waits
   * for those who are at it, and changes that are not above it are passed over. Nothing is looked for unless told.
   */
  floor?: string;
  /**
   * Told of waiting changes that are in the target at last, after the commit. They are let go of when it has resolved, and
   * told again when it has not, so that whoever must know of them knows.
   */
  onSettled?(table: MappedTable, changes: readonly RowChange[]): Promise<void>;
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

/** Changes that came by one stream; the position that is recorded with them is the stream's. */
export type StreamBatch = { position: string | undefined; messages: readonly RowMessage[] };

export type TogetherReport = ApplyReport & {
  /** The changes that the target holds now, or newer ones of the same rows: all but what is refused, waits or is passed over. */
  present: RowMessage[];
};

export type Applier = {
  /**
   * Applies changes, in any order, with any repetition. When it resolves, all that is not `refused` is in the target
   * for good. When it throws, some of the changes may be: give all of them again.
   * `position` names the stream they came by, whose position is recorded with them.
   * @throws ParkingFull
   */
  apply(messages: readonly RowMessage[], position?: string): Promise<ApplyReport>;
  /** The same for changes that came by several streams, in as few transactions as they fit into. */
  applyTogether(batches: readonly StreamBatch[]): Promise<TogetherReport>;
  /** Tries the waiting changes of all tables again, and tells how many wait still. */
  retryParked(): Promise<number>;
};

/** The slice's floor stands in the target no more, or not yet: nothing of it may be written. */
export class FloorGone extends Error {
  override name = 'FloorGone';

  constructor(floor: string) {
    super(
      `${positionsTable}: expected the floor ${floor}, found none: the slice's pipe is being taken away, or was never installed; advance the slice`,
    );
  }
}

type Incoming = { message: RowMessage; position: string | undefined };

/** How many waiting changes are tried in one transaction: beside every batch, and when nothing else is done. */
const parkedPerBatch = 200;
const parkedPerTry = 2000;

export function createApplier(options: ApplierOptions): Applier {
  const { pool, tables, log, maxParked = 10_000, maxAttempts = 20, onSettled } = options;
  const limits: BatchLimits = { maxRows: 500, maxBytes: 4 * 1024 * 1024, ...options.limits };
  const metrics = createApplyMetrics(options.registry);
  const bySource = new Map(tables.map((table) => [table.mapping.source, table]));
  const writers = new Map(tables.map((table) => [table.mapping.target, createRowWriter(table)]));
  const pass = createFencePass(pool, tables[0]?.mapping.slice ?? '');

  async function applyTogether(batches: readonly StreamBatch[]): Promise<TogetherReport> {
    const report: TogetherReport = { applied: 0, duplicates: 0, parked: 0, refused: [], present: [] };
    const known: Incoming[] = [];
    for (const { position, messages } of batches) {
      for (const message of messages) {
        if (bySource.has(message.table)) known.push({ message, position });
        else report.refused.push({ message, reason: `${message.table}: expected a table of ${[...bySource.keys()]}` });
      }
    }
    const touched = new Set<string>();
    let waiting = false;
    for (const batch of splitIntoBatches(known, ({ message }) => bytesOfChange(message), limits)) {
      const done = await applyBatch(batch);
      report.applied += done.applied;
      report.duplicates += done.duplicates;
      report.parked += done.parked;
      report.refused.push(...done.refused);
      report.present.push(...done.present);
      for (const { message } of batch) touched.add(targetOf(message));
      waiting ||= done.waiting;
    }
    if (waiting) await settle([...touched], parkedPerBatch);
    else for (const table of touched) metrics.parked(table, 0);
    return report;
  }

  async function apply(messages: readonly RowMessage[], position?: string): Promise<ApplyReport> {
    const { present: _present, ...report } = await applyTogether([{ position, messages }]);
    return report;
  }

  const targetOf = (message: RowMessage): string => (bySource.get(message.table) as MappedTable).mapping.target;

  /** One transaction; `waiting` tells whether any change of these tables waits. */
  async function applyBatch(batch: readonly Incoming[]): Promise<TogetherReport & { waiting: boolean }> {
    const startedAt = performance.now();
    const messages = batch.map(({ message }) => message);
    const entries = messages.map((message) => ({ table: targetOf(message), change: message }));
    const all = newestOfEach(entries);
    const keys = all.newest.map(({ table, change }) => ({ table, keyText: change.keyText }));
    const ground = options.floor === undefined ? [] : [positionStatement(options.floor, 'share')];
    const positions = positionsStatement(byPosition(batch));
    const done = await repeated(async () => {
      const through = await pass.statements();
      return await inApplyTransaction(pool, {
        first: [...through, ...ground, ...versionsStatements(keys, 'update')],
        work: async (connection, [...found]) => {
          found.splice(0, through.length);
          const floor = floorOf(found.slice(0, ground.length));
          const stored = versionsOf(found.slice(ground.length).flat() as VersionRow[]);
          const above = entries.filter(({ change }) => floor === undefined || isAbove(change.version, floor));
          const { newest, superseded } = above.length === entries.length ? all : newestOfEach(above);
          const { fresh, duplicates } = splitByVersion(newest, stored);
          const known = entries.length - above.length + superseded + duplicates;
          const result = await writeFresh(connection, fresh, stored);
          result.duplicates += known;
          result.present = above
            .filter(({ table, change }) => !result.undone.has(rowId(table, change.keyText)))
            .map(({ change }) => change as RowMessage);
          const written = fresh.filter(({ table, change }) => !result.undone.has(rowId(table, change.keyText)));
          const last = [raiseStatement(written, stored), positions].filter((one) => one !== undefined);
          return { result, last };
        },
        // After the commit: of two transactions, one that parks and one that makes room, the later one sees both.
        after: [parkedStatement([...new Set(keys.map(({ table }) => table))])],
      });
    });
    metrics.batch(batch.length, (performance.now() - startedAt) / 1000);
    const { undone: _undone, ...report } = done.result;
    tell(messages, report);
    return { ...report, waiting: parkedCounts((done.after[0] ?? []) as ParkedCount[]).size > 0 };
  }

  /**
   * Writes changes that are newer than what the target has, and the versions of rows that had none; those of the others
   * are still to be raised. Gives besides which rows are as they were.
   */
  async function writeFresh(
    connection: Connection,
    fresh: readonly TableChange[],
    stored: ReadonlyMap<string, StoredVersion>,
  ): Promise<TogetherReport & { undone: ReadonlySet<string> }> {
    const report: TogetherReport = { applied: 0, duplicates: 0, parked: 0, refused: [], present: [] };
    if (fresh.length === 0) return { ...report, undone: new Set() };
    await addVersions(connection, fresh, stored);
    const undone: TableChange[] = [];
    for (const [table, changes] of groupByTable(fresh)) {
      const outcomes = await writerOf(table).write(connection, changes);
      const clashes = outcomes.filter((outcome) => outcome.kind === 'clash');
      if (clashes.length > 0) await park(connection, table, clashes, maxParked);
      count(report, outcomes);
      undone.push(...unwritten(outcomes).map((change) => ({ table, change })));
    }
    const added = undone.filter(({ table, change }) => !stored.has(rowId(table, change.keyText)));
    if (added.length > 0) await restoreVersions(connection, added, stored);
    return { ...report, undone: new Set(undone.map(({ table, change }) => rowId(table, change.keyText))) };
  }

  /** What the floor's statement gave, where there is one. @throws FloorGone */
  function floorOf([rows]: readonly StatementResult[]): RowVersion | undefined {
    if (options.floor === undefined) return undefined;
    const [floor] = (rows ?? []) as RowVersion[];
    if (floor === undefined) throw new FloorGone(options.floor);
    return floor;
  }

  /** Locks the floor against being taken away. @throws FloorGone */
  async function standOnFloor(connection: Connection): Promise<void> {
    if (options.floor === undefined) return;
    const floor = await readPosition(connection, options.floor, 'share');
    if (floor === undefined) throw new FloorGone(options.floor);
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
    const settled = await transaction(async (connection) => {
      await standOnFloor(connection);
      const parked = (await takeParked(connection, table, perTry)).map(({ change }) => ({ table, change }));
      const keys = parked.map(({ change }) => ({ table, keyText: change.keyText }));
      if (keys.length === 0) return [];
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
      const done = parked.map(({ change }) => change).filter((change) => !waiting.has(change));
      // While somebody is to be told they stay: a crash before that would leave nobody who knows of them.
      if (onSettled === undefined) await unpark(connection, table, done);
      return done;
    });
    if (onSettled !== undefined && settled.length > 0) {
      await onSettled(writer.table, settled);
      await transaction((connection) => unpark(connection, table, settled));
    }
    return settled.length;
  }

  const transaction = <T>(work: (connection: Connection) => Promise<T>): Promise<T> =>
    repeated(() =>
      withTransaction(
        pool,
        'READ COMMITTED',
        async (connection) => {
          await pass.present(connection);
          return await work(connection);
        },
        { maxAttempts: 1 },
      ),
    );

  /** A transaction, begun anew after a conflict of locks, after a race, without the fence's pass, and when a COMMIT was not answered. */
  async function repeated<T>(run: () => Promise<T>): Promise<T> {
    let delayMs: number | undefined;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await run();
      } catch (error) {
        const cause = pass.isStale(error) ? 'fence-pass' : retryCause(error);
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
    applyTogether,
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

const isAbove = (version: RowVersion, floor: RowVersion): boolean => BigInt(version.id) > BigInt(floor.id);

const byPosition = (batch: readonly Incoming[]): Map<string, RowMessage[]> => {
  const streams = new Map<string, RowMessage[]>();
  for (const { message, position } of batch) {
    if (position === undefined) continue;
    const stream = streams.get(position);
    if (stream === undefined) streams.set(position, [message]);
    else stream.push(message);
  }
  return streams;
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
