import { rowMessageOf } from '@strangler/platform/contracts/row-message.ts';
import { createPool, dialectOf } from '@strangler/platform/mysql/pool.ts';
import { installOutbox, outboxTable } from '@strangler/platform/outbox/schema.ts';
import { type FreshDatabase, freshDatabase } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { planCapture } from '../capture/capture-plan.ts';
import { installCapture } from '../capture/install-capture.ts';
import { rowsOf } from '../schema/queryable.ts';
import type { Applier, ApplyReport } from './applier.ts';
import { prepareTarget, type Sides } from './fixture.ts';
import type { MappedTable } from './row-shape.ts';
import { createApplyPool, createReadPool } from './session.ts';

/** Two databases, each as a program finds it and as the pipe does. */
export type PipeSides = Sides & {
  sourceUrl: string;
  /** Of the administrator: with a binary log nobody else may create triggers. */
  sourceAdminUrl: string;
  targetUrl: string;
  /** Without locks. */
  readSource: Pool;
  readTarget: Pool;
  applyTarget: Pool;
  close(): Promise<void>;
};

export async function openSides(label: string): Promise<PipeSides> {
  const source = await freshDatabase(`${label}_s`);
  const target = await freshDatabase(`${label}_t`);
  const pools: Pool[] = [];
  const opened = (pool: Pool): Pool => {
    pools.push(pool);
    return pool;
  };
  const sides: PipeSides = {
    source: opened(createPool(source.adminUrl)),
    sourceDatabase: source.name,
    sourceUrl: source.url,
    sourceAdminUrl: source.adminUrl,
    target: opened(createPool(target.url)),
    targetDatabase: target.name,
    targetUrl: target.url,
    readSource: opened(createReadPool(source.url)),
    readTarget: opened(createReadPool(target.url)),
    applyTarget: opened(createApplyPool(target.url)),
    async close() {
      for (const pool of pools) await pool.end();
      for (const database of [source, target] satisfies FreshDatabase[]) await database.drop();
    },
  };
  await installOutbox(sides.source);
  await prepareTarget(sides.target);
  return sides;
}

/** Captures the tables from now on. */
export async function capture(sides: Sides, tables: readonly MappedTable[], epoch = 1): Promise<void> {
  const dialect = await dialectOf(sides.source);
  await installCapture(sides.source, {
    slice: 'fixture',
    database: sides.sourceDatabase,
    epoch,
    plans: tables.map(({ mapping, source }) =>
      planCapture({ slice: 'fixture', source, dialect, captured: mapping.captured }),
    ),
  });
}

/** Stands for relay, broker and consumer: hands captured changes to the applier in no order, some of them twice. */
export type Pump = {
  /** Hands on what there is; gives how many changes that were. */
  once(): Promise<number>;
  /** Goes on until `stop`. */
  start(): void;
  stop(): Promise<void>;
  /** Until nothing is left. */
  empty(): Promise<void>;
  totals(): Omit<ApplyReport, 'refused'> & { refused: number };
};

export function createPump(source: Pool, applier: Applier, perTurn = 60): Pump {
  const totals = { applied: 0, duplicates: 0, parked: 0, refused: 0 };
  let running: Promise<void> | undefined;
  let stopped = false;

  async function once(): Promise<number> {
    const rows = await rowsOf<Parameters<typeof rowMessageOf>[0]>(
      source,
      `SELECT CAST(o.id AS CHAR) AS id, epoch, topic, subject, CONVERT(subject_key USING utf8mb4) AS subjectKey, op, payload,
         headers, DATE_FORMAT(created_at, '%Y-%m-%d %H:%i:%s.%f') AS createdAt
       FROM ${outboxTable} AS o WHERE published = 0 ORDER BY RAND() LIMIT ?`,
      [perTurn],
    );
    if (rows.length === 0) return 0;
    const messages = rows.map((row) => rowMessageOf({ ...row, id: String(row.id) }));
    const again = messages.filter(() => Math.random() < 0.2);
    const report = await applier.apply([...messages, ...again], 'fixture');
    totals.applied += report.applied;
    totals.duplicates += report.duplicates;
    totals.parked += report.parked;
    totals.refused += report.refused.length;
    await source.query(`UPDATE ${outboxTable} SET published = 1 WHERE id IN (?)`, [rows.map(({ id }) => id)]);
    return rows.length;
  }

  async function empty(): Promise<void> {
    while ((await once()) > 0);
    await applier.retryParked();
  }

  return {
    once,
    empty,
    start() {
      stopped = false;
      running = (async () => {
        while (!stopped) {
          if ((await once()) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })();
    },
    async stop() {
      stopped = true;
      await running;
    },
    totals: () => ({ ...totals }),
  };
}
