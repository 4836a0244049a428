import type { Copied } from './copy-process.ts';
import { type MemoryReport, watchMemory } from './memory.ts';
import { type DumpPrograms, dumpCopy } from './mysqldump.ts';
import { columnNames, createProducts, table } from './products.ts';
import type { Setting } from './setting.ts';
import { startWorker } from './worker.ts';

/** Rows a second. */
export type CopyRound = { backfill: number; insertSelect: number; mysqldump: number | null };

export type CopyRace = { rounds: CopyRound[]; rowsPerRound: number; memory: MemoryReport };

/**
 * In turn, from one schema to another of the same server, into an empty table with the same indexes: the backfill, one
 * INSERT … SELECT of all rows, and mysqldump piped into mysql where there are such programs.
 */
export const raceCopy = async (
  setting: Setting,
  {
    rounds,
    rowsPerRound,
    programs,
    say,
  }: { rounds: number; rowsPerRound: number; programs: DumpPrograms | null; say: (line: string) => void },
): Promise<CopyRace> => {
  const { slices, folder, sourceUrl, targetUrl, sourceName, target } = setting;
  const worker = await startWorker('copy-process.ts', slices, folder, sourceUrl, targetUrl);
  const memory = watchMemory(worker.pid);
  const measure = async (copy: () => Promise<number>): Promise<number> => {
    await createProducts(target);
    const tookMs = await copy();
    const [found] = await target.query(`SELECT COUNT(*) AS n FROM ${table}`);
    const [{ n }] = found as [{ n: number }];
    if (n !== rowsPerRound) throw new Error(`a copy: expected ${rowsPerRound} rows, found ${n}`);
    return (rowsPerRound * 1000) / tookMs;
  };
  const contestants: Record<keyof CopyRound, () => Promise<number | null>> = {
    backfill: () => measure(async () => (await worker.ask<Copied>('copy')).tookMs),
    insertSelect: () =>
      measure(async () => {
        const startedAt = performance.now();
        const columns = columnNames.join(', ');
        await target.query(`INSERT INTO ${table} (${columns}) SELECT ${columns} FROM ${sourceName}.${table}`);
        return performance.now() - startedAt;
      }),
    mysqldump: async () =>
      programs === null ? null : measure(() => dumpCopy(programs, { sourceUrl, targetUrl, table })),
  };
  const names = Object.keys(contestants) as (keyof CopyRound)[];
  const measured: CopyRound[] = [];
  try {
    for (let round = 0; round < rounds; round += 1) {
      const result: Partial<CopyRound> = {};
      for (let turn = 0; turn < names.length; turn += 1) {
        const name = names[(round + turn) % names.length] as keyof CopyRound;
        Object.assign(result, { [name]: await contestants[name]() });
      }
      measured.push(result as CopyRound);
      const told = names.map(
        (name) => `${name} ${result[name] == null ? 'not there' : `${Math.round(result[name])}/s`}`,
      );
      say(`copy, round ${round + 1} of ${rounds}: ${told.join(', ')}`);
    }
    return { rounds: measured, rowsPerRound, memory: memory.report() };
  } finally {
    await worker.stop();
  }
};
