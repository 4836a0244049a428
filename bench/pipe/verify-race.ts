import type { Pool } from 'mysql2/promise';
import { columnNames, createProducts, table } from './products.ts';
import type { Setting } from './setting.ts';
import { checksumBoth, type TableChecksum } from './table-checksum.ts';
import type { Verified } from './verify-process.ts';
import { startWorker } from './worker.ts';

/** Rows a second, each row counted once though it is read on both sides. */
export type VerifyRound = { verify: number; checksum: number; ptTableChecksum: number | null };

export type VerifyRace = { rounds: VerifyRound[]; rowsPerRound: number };

/**
 * In turn: verify compares both tables; both servers compute, at the same time, one hand-written checksum of the whole table,
 * which tells whether they differ and not where; and pt-table-checksum computes its own of both, where there is one.
 */
export const raceVerify = async (
  setting: Setting,
  {
    rounds,
    rowsPerRound,
    checksum,
    say,
  }: { rounds: number; rowsPerRound: number; checksum: TableChecksum | null; say: (line: string) => void },
): Promise<VerifyRace> => {
  const { slices, folder, sourceUrl, targetUrl, sourceName, source, target } = setting;
  await createProducts(target);
  const columns = columnNames.join(', ');
  await target.query(`INSERT INTO ${table} (${columns}) SELECT ${columns} FROM ${sourceName}.${table}`);
  const worker = await startWorker('verify-process.ts', slices, folder, sourceUrl, targetUrl);
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const startedAt = performance.now();
    await work();
    return (rowsPerRound * 1000) / (performance.now() - startedAt);
  };
  const contestants: Record<keyof VerifyRound, () => Promise<number | null>> = {
    async verify() {
      const { rows, differences, tookMs } = await worker.ask<Verified>('verify');
      if (rows !== rowsPerRound || differences !== 0)
        throw new Error(`verify: expected ${rowsPerRound} rows that are the same, found ${rows}, ${differences} not`);
      return (rows * 1000) / tookMs;
    },
    checksum: () =>
      timed(async () => {
        const [one, other] = await Promise.all([sumOfTable(source), sumOfTable(target)]);
        if (one !== other) throw new Error(`checksums: expected the same of both, found ${one} and ${other}`);
      }),
    ptTableChecksum: async () =>
      checksum === null ? null : await timed(() => checksumBoth(checksum, { urls: [sourceUrl, targetUrl], table })),
  };
  const names = Object.keys(contestants) as (keyof VerifyRound)[];
  const measured: VerifyRound[] = [];
  try {
    // All have read the table once then.
    await worker.ask<Verified>('verify');
    for (let round = 0; round < rounds; round += 1) {
      const result: Partial<VerifyRound> = {};
      for (let turn = 0; turn < names.length; turn += 1) {
        const name = names[(round + turn) % names.length] as keyof VerifyRound;
        Object.assign(result, { [name]: await contestants[name]() });
      }
      measured.push(result as VerifyRound);
      const told = names.map(
        (name) => `${name} ${result[name] == null ? 'not there' : `${Math.round(result[name])}/s`}`,
      );
      say(`verify, round ${round + 1} of ${rounds}: ${told.join(', ')}`);
    }
    return { rounds: measured, rowsPerRound };
  } finally {
    await worker.stop();
  }
};

const sumOfTable = async (db: Pool): Promise<string> => {
  const columns = columnNames.join(', ');
  const [found] = await db.query(
    `SELECT COUNT(*) AS n, BIT_XOR(CRC32(CONCAT_WS('#', ${columns}))) AS sum FROM ${table}`,
  );
  const [{ n, sum }] = found as [{ n: number; sum: number }];
  return `${n} rows, ${sum}`;
};
