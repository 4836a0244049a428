import { installTargetTables } from '@strangler/migrations/engine/apply/own-tables.ts';
import { openPipeDatabases } from '@strangler/migrations/engine/pipe/open-databases.ts';
import { type Side, sideAt } from '@strangler/migrations/http/side.ts';
import type { ApiOperation } from '@strangler/migrations/openapi/operation.ts';
import type { KnownIds } from '@strangler/migrations/parity/fuzz/memory.ts';
import { observeDatabases } from '@strangler/migrations/parity/observe/databases.ts';
import { rulesOfSlice } from '@strangler/migrations/parity/rules-of-slice.ts';
import { seed } from '@strangler/monolith/seed/seed.ts';
import type { Difference } from '@strangler/platform/compare/compare-answers.ts';
import { createLog, type Log } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import { type FreshDatabase, freshDatabase, testServers } from '@strangler/platform/testing/servers.ts';
import type { Pool } from 'mysql2/promise';
import { copyTables } from '../fill-catalogue.ts';
import { rememberTables } from '../remember-tables.ts';
import { newSigningKey, PINNED_TIME, startMonolith, startService } from '../start-processes.ts';
import { makeTokens } from '../tokens.ts';
import { patient } from './same-rows.ts';
import { createClosers, operationsOf, readSlice, type SlicePair, slicesFolder } from './slice-pair.ts';

/** What is particular to a slice whose rows the pipe copies. */
export type CopiedPair = {
  slice: 'inventory' | 'payments';
  migrateUp(url: string, log: Log): Promise<unknown>;
  /** Changes the seeded shop before its rows are copied. */
  prepare?(shop: Pool): Promise<void>;
  env?: { shop?: Record<string, string>; service?: Record<string, string> };
  /** What requests change, at either end: put back before each sequence. */
  tables: { shop: readonly string[]; service: readonly string[] };
  /** Changes a row of the service's. */
  spoiled: string;
  known(shop: Pool): Promise<KnownIds>;
  /** Operations as they are to be tried, made from those that are described. */
  operations?(described: readonly ApiOperation[], shop: Pool): Promise<ApiOperation[]>;
  /** Rows that only the service has, because it is meant to. */
  isMeant?(difference: Difference): boolean;
  /** How long what is done behind an answer may take, in ms; 0 unless told. */
  behindMs?: number;
  /** Changes requests on their way to a side. */
  towards?(side: Side): Side;
};

/** Products of the seed. */
const size = 60;

/** Shop and service as processes that always live at the same moment, on databases of their own with the same rows. */
export async function startCopiedPair(label: string, particular: CopiedPair): Promise<SlicePair> {
  const { slice: name, env = {}, tables, isMeant = () => false, behindMs = 0 } = particular;
  const slice = await readSlice(name);
  const servers = testServers();
  const closers = createClosers();
  try {
    const log = createLog({ name: 'parity', level: 'fatal' });
    const open = async (end: string): Promise<[FreshDatabase, Pool]> => {
      const database = await freshDatabase(`${label}_${end}`);
      closers.add(() => database.drop());
      const pool = createPool(database.adminUrl, { connectionLimit: 1 });
      closers.add(() => pool.end());
      return [database, pool];
    };
    const [[shop, shopPool], [own, ownPool]] = [await open('shop'), await open(name.slice(0, 3))];
    await Promise.all([seed({ url: shop.url, size, seed: 7, log }), particular.migrateUp(own.url, log)]);
    await particular.prepare?.(shopPool);
    const ends = { sourceUrl: shop.adminUrl, targetUrl: own.adminUrl };
    const pipe = openPipeDatabases({ slice, folder: `${slicesFolder}/${name}`, ...ends, captures: false });
    closers.add(() => pipe.close());
    await installTargetTables(pipe.target.apply);
    await copyTables(pipe, await pipe.tables(), log);
    const restore = await Promise.all([rememberTables(shopPool, tables.shop), rememberTables(ownPool, tables.service)]);

    const signingKey = newSigningKey();
    const monolith = await startMonolith({
      ...{ servers, databaseUrl: shop.url, prefix: own.name, signingKey },
      ...(env.shop === undefined ? {} : { env: env.shop }),
    });
    closers.add(() => monolith.stop());
    const service = await startService({
      ...{ name, databaseUrl: own.url, monolithUrl: monolith.url },
      ...(env.service === undefined ? {} : { env: env.service }),
    });
    closers.add(() => service.stop());
    const sides = [sideAt('monolith', monolith.url), sideAt(name, service.url)] as const;
    for (const side of sides) closers.add(() => side.close());
    const towards = particular.towards ?? ((side: Side) => side);
    const described = await operationsOf(slice);
    const observer = await observeDatabases(pipe);
    const unmeant = async () => (await observer.rows()).filter((one) => !isMeant(one));
    const { admin, customer, otherCustomer, third } = await makeTokens(signingKey, new Date(PINNED_TIME));
    return {
      slice: name,
      running: {
        operations: (await particular.operations?.(described, shopPool)) ?? described,
        sides: [towards(sides[0]), towards(sides[1])],
        tokens: { admin, customer, otherCustomer, third },
        rules: rulesOfSlice(slice),
        observer: { ...observer, rows: patient(unmeant, behindMs) },
        slowerByMs: 1_000,
        known: await particular.known(shopPool),
        refused: new Map(),
        reset: async () => void (await Promise.all(restore.map((back) => back()))),
      },
      addresses:
        particular.towards === undefined
          ? { left: monolith.url, right: service.url, leftDatabase: shop.adminUrl, rightDatabase: own.adminUrl }
          : null,
      spoil: async () => void (await ownPool.query(particular.spoiled)),
      stop: () => closers.close(),
    };
  } catch (error) {
    await closers.close();
    throw error;
  }
}
