import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import type { PoolConnection } from 'mysql2/promise';
import { captureProducts, createProducts, fillProducts, releaseProducts, table } from './products.ts';
import type { Setting } from './setting.ts';

/** Of the same table with and without triggers. */
export type CaptureRound = {
  /** Commits a second of one writer that changes one row in each. */
  singleCaptured: number;
  singlePlain: number;
  /** The same of four writers at once. */
  manyCaptured: number;
  manyPlain: number;
  /** Rows a second of statements that change 1000 rows each. */
  rowsCaptured: number;
  rowsPlain: number;
};

export type CaptureCost = { rounds: CaptureRound[] };

const plainTable = 'products_plain';
const tableRows = 20_000;
const rowsOfStatement = 1_000;
const writersAtOnce = 4;

/** In turn, for as long each: writes to a table that is captured, and to its twin that is not. */
export const measureCapture = async (
  setting: Setting,
  { rounds, secondsEach, say }: { rounds: number; secondsEach: number; say: (line: string) => void },
): Promise<CaptureCost> => {
  const { source, sourceName } = setting;
  await createProducts(source, plainTable);
  await fillProducts(source, tableRows, plainTable);
  await captureProducts(source, sourceName, await setting.mapped());
  const connections = await Promise.all(Array.from({ length: writersAtOnce }, () => source.getConnection()));
  /** Calls back in turn until the time is over; gives how often a second. */
  const perSecond = async (work: () => Promise<unknown>): Promise<number> => {
    const startedAt = performance.now();
    let done = 0;
    let elapsedMs = 0;
    while (elapsedMs < secondsEach * 1000) {
      await work();
      done += 1;
      elapsedMs = performance.now() - startedAt;
    }
    return (done * 1000) / elapsedMs;
  };
  let next = 0;
  const single = (into: string, connection: PoolConnection) =>
    perSecond(() => {
      next += 1;
      const sql = `UPDATE ${into} SET price_cents = price_cents + 1, version = version + 1 WHERE id = ?`;
      return connection.query(sql, [1 + (next % tableRows)]);
    });
  const many = async (into: string) =>
    (await Promise.all(connections.map((connection) => single(into, connection)))).reduce((sum, one) => sum + one, 0);
  const statements = async (into: string, connection: PoolConnection) => {
    const each = await perSecond(() => {
      next += rowsOfStatement;
      const from = next % (tableRows - rowsOfStatement);
      const sql = `UPDATE ${into} SET price_cents = price_cents + 1, version = version + 1 WHERE id > ? AND id <= ?`;
      return connection.query(sql, [from, from + rowsOfStatement]);
    });
    return each * rowsOfStatement;
  };
  const [connection] = connections as [PoolConnection, ...PoolConnection[]];
  const contests: [captured: keyof CaptureRound, plain: keyof CaptureRound, (into: string) => Promise<number>][] = [
    ['singleCaptured', 'singlePlain', (into) => single(into, connection)],
    ['manyCaptured', 'manyPlain', many],
    ['rowsCaptured', 'rowsPlain', (into) => statements(into, connection)],
  ];
  const measured: CaptureRound[] = [];
  try {
    for (let round = 0; round < rounds; round += 1) {
      const result: Partial<CaptureRound> = {};
      for (const [captured, plain, work] of contests) {
        const inTurn = [
          [captured, table],
          [plain, plainTable],
        ] as const;
        for (const [name, into] of round % 2 === 0 ? inTurn : inTurn.toReversed()) result[name] = await work(into);
      }
      measured.push(result as CaptureRound);
      const told = Object.entries(result).map(([name, rate]) => `${name} ${Math.round(rate)}/s`);
      say(`capture, round ${round + 1} of ${rounds}: ${told.join(', ')}`);
    }
    return { rounds: measured };
  } finally {
    for (const one of connections) one.release();
    await releaseProducts(source, sourceName);
    await source.query(`TRUNCATE TABLE ${outboxTable}`);
    await source.query(`DROP TABLE ${plainTable}`);
  }
};
