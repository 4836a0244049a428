import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installTargetTables } from '@strangler/migrations/engine/apply/own-tables.ts';
import type { MappedTable } from '@strangler/migrations/engine/apply/row-shape.ts';
import { openPipeDatabases, type PipeDatabases } from '@strangler/migrations/engine/pipe/open-databases.ts';
import { readSliceDirectory } from '@strangler/platform/contracts/slice-directory.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { installOutbox } from '@strangler/platform/outbox/schema.ts';
import type { Pool } from 'mysql2/promise';
import { createProducts, slice, writeSlice } from './products.ts';
import { type BenchServers, openServers } from './servers.ts';

/** Both ends of a pipe on one server, with the outbox on one and the pipe's own tables on the other, and no rows. */
export type Setting = {
  servers: BenchServers;
  /** Folder of slices, and the slice's own. */
  slices: string;
  folder: string;
  sourceName: string;
  targetName: string;
  sourceUrl: string;
  targetUrl: string;
  source: Pool;
  target: Pool;
  /** The slice's only table as both sides have it now. */
  mapped(): Promise<MappedTable>;
  close(): Promise<void>;
};

export const openSetting = async (instance: string, say: (line: string) => void): Promise<Setting> => {
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const servers = await openServers(instance, say);
    closers.push(servers.close);
    const temporary = await mkdtemp(join(tmpdir(), 'bench-pipe-'));
    closers.push(() => rm(temporary, { recursive: true }));
    const { slices, folder } = await writeSlice(temporary);

    const admin = createPool(servers.addresses.mysqlUrl, { connectionLimit: 2 });
    closers.push(() => admin.end());
    const [sourceName, targetName] = ['bench_source', 'bench_target'];
    for (const name of [sourceName, targetName]) {
      closers.push(() => admin.query(`DROP DATABASE IF EXISTS ${name}`));
      await admin.query(`DROP DATABASE IF EXISTS ${name}`);
      await admin.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
    }
    const sourceUrl = servers.databaseUrl(sourceName);
    const targetUrl = servers.databaseUrl(targetName);
    const source = createPool(sourceUrl, { connectionLimit: 8 });
    const target = createPool(targetUrl, { connectionLimit: 8 });
    closers.push(() => source.end());
    closers.push(() => target.end());
    await createProducts(source);
    await createProducts(target);
    await installOutbox(source);
    await installTargetTables(target);

    return {
      servers,
      slices,
      folder,
      sourceName,
      targetName,
      sourceUrl,
      targetUrl,
      source,
      target,
      async mapped() {
        const pipe = await openPipe({ slices, folder, sourceUrl, targetUrl });
        try {
          return await onlyTable(pipe);
        } finally {
          await pipe.close();
        }
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
};

/** The pipe of the bench's slice, for whoever knows where everything is. */
export const openPipe = async ({
  slices,
  folder,
  sourceUrl,
  targetUrl,
}: Pick<Setting, 'slices' | 'folder' | 'sourceUrl' | 'targetUrl'>): Promise<PipeDatabases> => {
  const found = (await readSliceDirectory(slices)).find((one) => one.slice === slice);
  if (found === undefined) throw new Error(`${slices}: expected the slice ${slice}, found none`);
  return openPipeDatabases({ slice: found, folder, sourceUrl, targetUrl });
};

export const onlyTable = async (pipe: PipeDatabases): Promise<MappedTable> => {
  const [table] = await pipe.tables();
  if (table === undefined) throw new Error(`${slice}: expected a table, found none`);
  return table;
};
