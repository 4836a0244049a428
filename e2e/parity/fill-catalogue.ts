import { fileURLToPath } from 'node:url';
import { installTargetTables } from '@strangler/migrations/engine/apply/own-tables.ts';
import type { MappedTable } from '@strangler/migrations/engine/apply/row-shape.ts';
import { backfillTable } from '@strangler/migrations/engine/backfill/backfill.ts';
import { openPipeDatabases, type PipeDatabases } from '@strangler/migrations/engine/pipe/open-databases.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';

const slices = fileURLToPath(new URL('../../migrations/slices', import.meta.url));

export type Ends = { sourceUrl: string; targetUrl: string };

/** Both ends of the pipe of the slice `catalog`, as its slice file has it. */
export async function openCatalogPipe(ends: Ends): Promise<PipeDatabases> {
  const slice = (await readSliceDirectory(slices)).find((one) => one.slice === 'catalog');
  if (slice === undefined) throw new Error(`expected a slice catalog in ${slices}, found none`);
  return openPipeDatabases({ slice, folder: `${slices}/catalog`, ...ends });
}

/**
 * Copies the slice's rows out of a shop's database into the catalogue's, both migrated. Nothing is captured: nobody may write
 * to the shop meanwhile.
 */
export async function fillCatalogue({ log, ...ends }: Ends & { log: Log }): Promise<void> {
  const pipe = await openCatalogPipe(ends);
  try {
    await installTargetTables(pipe.target.apply);
    await copyTables(pipe, await pipe.tables(), log);
    for (const { source, target, reference } of pipe.slice.tables) {
      if (!reference) await keepAutoIncrement({ from: pipe.source.read, to: pipe.target.apply, source, target });
    }
  } finally {
    await pipe.close();
  }
}

export async function copyTables(pipe: PipeDatabases, tables: readonly MappedTable[], log: Log): Promise<void> {
  for (const table of tables) {
    // Its progress is nobody's concern here.
    for await (const _event of backfillTable({ table, source: pipe.source.read, target: pipe.target.apply, log }));
  }
}

type Counter = { from: Pool; to: Pool; source: string; target: string };

/** The id of a row that was deleted in the shop is not given to another one in the catalogue. */
async function keepAutoIncrement({ from, to, source, target }: Counter): Promise<void> {
  const [[shown]] = await from.query<RowDataPacket[]>('SHOW CREATE TABLE ??', [source]);
  const next = /\bAUTO_INCREMENT=(\d+)/.exec(String(shown?.['Create Table']))?.[1];
  // The server itself does not go below what is there.
  if (next !== undefined) await to.query('ALTER TABLE ?? AUTO_INCREMENT = ?', [target, Number(next)]);
}
