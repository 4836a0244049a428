import { nextBackoffMs, pause } from '@strangler/platform/backoff.ts';
import type { Slice, SliceTable } from '@strangler/platform/contracts/slice-file.ts';
import { outboxInstaller, outboxTable } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import { backfillTable, versionsTable } from '../apply/own-tables.ts';
import { countParked } from '../apply/parked.ts';
import type { MappedTable } from '../apply/row-shape.ts';
import { readCheckpoint } from '../backfill/checkpoint.ts';
import { planCapture } from '../capture/capture-plan.ts';
import { findDrift } from '../capture/drift.ts';
import { readBrokerFigures } from '../pipe/broker-figures.ts';
import { isCanary } from '../pipe/canary.ts';
import { type PipeLag, readLag } from '../pipe/lag.ts';
import { type Finding, refuse } from '../preflight/finding.ts';
import { quoteName } from '../schema/identifiers.ts';
import { rowsOf } from '../schema/queryable.ts';
import { verifyTable } from '../verify/verify.ts';
import { recordVerification } from '../verify/verify-record.ts';
import type { BackfilledTable, ShadowFigures, SyncFigures, VerifiedTable } from './gates.ts';
import type { StageWork } from './stage-work.ts';

/** Measures what the gates into `sync` ask for. Changes nothing. */
export async function measureSync({ databases }: Pick<StageWork, 'databases'>): Promise<SyncFigures> {
  const { slice, source, target, ended } = databases;
  const { findings: found, tables } = await databases.preflight();
  const findings = [...ended.map(nothingToCopy), ...found];
  const known = await knownToPipe(target.read, slice);
  const filledTargets: string[] = [];
  for (const { mapping } of tables) {
    const rows = await rowsOf(target.read, `SELECT 1 FROM ${quoteName(mapping.target)} LIMIT 1`);
    if (rows.length > 0 || known.has(mapping.target)) filledTargets.push(mapping.target);
  }
  return { slice: slice.slice, findings, filledTargets, oldestUnpublishedMs: await oldestUnpublishedMs(source.read) };
}

/** Whoever begins now would have none of the rows that there are. */
const nothingToCopy = ({ source, until }: SliceTable): Finding =>
  refuse(
    'copy-ended',
    `source ${source}`,
    `${until} is complete, and the table has been put away: there is nothing to copy from`,
    `take ${until} back to writes first ("strangler rollback ${until}"), or take the table out of the slice file if its service needs no copy`,
  );

/**
 * Target tables of which the pipe has copied or applied something before, even where they have no rows: what it
 * remembers of an earlier life would keep rows of this one out.
 */
async function knownToPipe(target: Pool, { tables }: Slice): Promise<Set<string>> {
  const known = new Set<string>();
  for (const name of [versionsTable, backfillTable]) {
    const [found] = await rowsOf(target, 'SHOW TABLES LIKE ?', [name.replaceAll('_', '\\_')]);
    if (found === undefined) continue;
    for (const table of tables) {
      const [row] = await rowsOf(target, `SELECT 1 FROM ${name} WHERE table_name = ? LIMIT 1`, [table.target]);
      if (row !== undefined) known.add(table.target);
    }
  }
  return known;
}

/** Age of the oldest of the first thousand rows that wait; 0 where none does, null where there is no outbox. */
export async function oldestUnpublishedMs(source: Pool): Promise<number | null> {
  if ((await outboxInstaller(source)) === undefined) return null;
  const [oldest] = await rowsOf<{ age: number | null }>(
    source,
    `SELECT TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6)) / 1000 AS age
     FROM (SELECT created_at FROM ${outboxTable} WHERE published = 0 ORDER BY id LIMIT 1000) AS waiting`,
  );
  return Number(oldest?.age ?? 0);
}

/** What capture of a slice consists of, by its live tables. */
export const capturePlans = (slice: string, tables: readonly MappedTable[]) =>
  tables.map(({ mapping, source, sourceDialect }) =>
    planCapture({ slice, source, dialect: sourceDialect, captured: mapping.captured }),
  );

/** The figures of the gates into `shadow`, without the comparison of the rows. Changes nothing. */
export async function measurePipe(
  { databases, rabbit }: Pick<StageWork, 'databases' | 'rabbit'>,
  tables: readonly MappedTable[],
): Promise<ShadowFigures> {
  const { slice, source, target } = databases;
  const database = tables[0]?.source.database ?? '';
  const drift = await findDrift(source.read, database, slice.slice, capturePlans(slice.slice, tables));
  const backfill: BackfilledTable[] = [];
  for (const { mapping } of tables.filter((table) => !isCanary(table))) {
    const checkpoint = await readCheckpoint(target.read, mapping.target);
    backfill.push({
      table: mapping.target,
      state: checkpoint?.state ?? 'not begun',
      rowsRead: checkpoint?.rowsRead ?? 0,
    });
  }
  const parked = await countParked(
    target.read,
    tables.map(({ mapping }) => mapping.target),
  );
  const broker = await readBrokerFigures(rabbit, slice);
  return {
    slice: slice.slice,
    drift,
    backfill,
    lag: await readLag(source.read, target.read, slice.slice),
    consumed: { queues: broker.queues.consumed, of: broker.queues.of },
    parked: [...parked.values()].reduce((sum, n) => sum + n, 0),
    deadLetters: broker.deadLetters ?? 0,
    verified: null,
  };
}

/** How long the lag may take to come below its bound before the gate is said to be shut. */
export const defaultLagPatienceMs = 30_000;

/** An applier takes about a second to begin, several on a busy machine; who has started none is not kept waiting long. */
const applierPatienceMs = 10_000;

type Waiting = Pick<StageWork, 'databases' | 'rabbit' | 'bounds' | 'signal' | 'tell'>;

/**
 * As `measurePipe`, once every queue has its consumer and the lag has come below its bound, or both have had their time to: an
 * applier that has just heard of the slice, and a burst of writes after something long (the comparison of all rows), say
 * nothing of the pipe.
 */
export async function measureSettledPipe(work: Waiting, tables: readonly MappedTable[]): Promise<ShadowFigures> {
  await waitForApplier(work);
  const lag = await waitForLag(work);
  return { ...(await measurePipe(work, tables)), lag };
}

async function waitForApplier({ databases, rabbit, signal, tell }: Waiting): Promise<void> {
  await waitFor({
    read: async () => (await readBrokerFigures(rabbit, databases.slice)).queues,
    isThere: ({ consumed, of }) => consumed === of,
    tellWaiting: ({ consumed, of }) =>
      tell({
        kind: 'step',
        where: 'broker',
        what: `waiting for the applier: ${consumed} of ${of} queues are consumed`,
      }),
    patienceMs: applierPatienceMs,
    signal,
  });
}

/** Waits until the lag is below `maxLagMs`, `patienceMs` at most. @returns the lag that was found last */
export async function waitForLag(
  { databases, bounds, signal, tell }: Omit<Waiting, 'rabbit'>,
  patienceMs = defaultLagPatienceMs,
): Promise<PipeLag> {
  const { slice, source, target } = databases;
  return await waitFor({
    read: () => readLag(source.read, target.read, slice.slice),
    isThere: ({ lagMs }) => lagMs <= bounds.maxLagMs,
    tellWaiting: ({ lagMs }) =>
      tell({
        kind: 'step',
        where: 'target',
        what: `waiting for the lag, ${Math.round(lagMs)} ms, to come below ${bounds.maxLagMs} ms`,
      }),
    patienceMs,
    signal,
  });
}

/** Reads until it is there, the patience is over or the signal fires. @returns what was read last */
async function waitFor<T>(options: {
  read(): Promise<T>;
  isThere(found: T): boolean;
  /** Called once, if it is not there at once. */
  tellWaiting(found: T): void;
  patienceMs: number;
  signal: AbortSignal;
}): Promise<T> {
  const { read, isThere, tellWaiting, patienceMs, signal } = options;
  const startedMs = performance.now();
  let told = false;
  let delayMs: number | undefined;
  for (;;) {
    const found = await read();
    if (isThere(found) || performance.now() - startedMs > patienceMs || signal.aborted) return found;
    if (!told) tellWaiting(found);
    told = true;
    delayMs = nextBackoffMs(delayMs, { baseMs: 50, capMs: 500 });
    await pause(delayMs, signal);
  }
}

/** A gate that is shut costs more than a row that is looked at for longer. */
const gatePatienceMs = 30_000;

/** Compares every row of every table, and records what it found. */
export async function verifyAll(
  { databases, signal, tell }: Pick<StageWork, 'databases' | 'signal' | 'tell'>,
  tables: readonly MappedTable[],
): Promise<VerifiedTable[]> {
  const { source, target } = databases;
  const verified: VerifiedTable[] = [];
  for (const table of tables.filter((one) => !isCanary(one))) {
    const startedAt = new Date();
    const reading = { source: source.read, target: target.read, patienceMs: gatePatienceMs, signal };
    for await (const event of verifyTable({ table, ...reading })) {
      tell({ kind: 'verify', event });
      if (event.kind !== 'done' && event.kind !== 'stopped') continue;
      const { rowsCompared, differences, unsettled } = event;
      const complete = event.kind === 'done' && event.complete;
      const result: VerifiedTable = { table: event.table, complete, rowsCompared, differences, unsettled };
      verified.push(result);
      if (event.kind === 'done')
        await recordVerification(target.apply, { ...result, startedAt, finishedAt: new Date() });
    }
    if (signal.aborted) break;
  }
  return verified;
}
