import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import type { FlagStore } from '@strangler/platform/flags/store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { createPool } from '@strangler/platform/mysql/pool.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { visitorConnections } from '../traffic/visitor.ts';
import { overlaySlices, type SliceOverlays } from './overlay-slices.ts';
import type { ScenarioOptions } from './scenario-options.ts';
import { openShop, type Shop, type ShopOptions } from './shop.ts';

const databases = {
  monolith: 'shopUrl',
  catalog: 'catalogUrl',
  inventory: 'inventoryUrl',
  notifications: 'notificationsUrl',
  payments: 'paymentsUrl',
  orders: 'ordersUrl',
} as const;
export type DatabaseName = keyof typeof databases;

/** What a slice's demo is told in: the shop, its flags and databases as a reader of its own sees them, and visitors' connections. */
export type ShopStage<Name extends DatabaseName> = {
  shop: Shop;
  flags: FlagStore;
  pools: Record<Name, Pool>;
  connections: ReturnType<typeof visitorConnections>;
};

type ShopOf = Pick<ScenarioOptions, 'products' | 'instance' | 'keep' | 'progress' | 'signal'>;

type Wanted<Name extends DatabaseName> = Omit<ShopOptions, keyof ScenarioOptions | 'slicesFolder'> & {
  overlays: SliceOverlays;
  /** Databases that the demo reads. */
  reads: readonly Name[];
};

/** Brings the shop up with options laid over its slice files, lets `tell` use it, and takes everything down again. */
export const withShop = async <Name extends DatabaseName, T>(
  { products, instance, keep, progress, signal }: ShopOf,
  { overlays, reads, ...wanted }: Wanted<Name>,
  tell: (stage: ShopStage<Name>) => Promise<T>,
): Promise<T> => {
  const folder = mkdtempSync(join(tmpdir(), 'demo-slices-'));
  const connections = visitorConnections();
  try {
    const slicesFolder = overlaySlices(folder, overlays);
    const shop = await openShop({ instance, products, keep, progress, signal, ...wanted, slicesFolder });
    const { mover } = shop.system.databases;
    const open = reads.map((name) => [name, createPool(mover[databases[name]], { connectionLimit: 2 })] as const);
    const { store: flags, close } = openFlagStore(shop.flagStore, {
      log: createLog({ name: 'demo', level: 'silent' }),
    });
    try {
      return await tell({ shop, flags, pools: Object.fromEntries(open) as Record<Name, Pool>, connections });
    } finally {
      close();
      await Promise.all(open.map(([, pool]) => pool.end()));
      await connections.close();
      await shop.close();
    }
  } finally {
    if (!keep) rmSync(folder, { recursive: true, force: true });
  }
};

/** The number `n` of a statement `SELECT … AS n …`. */
export const countRows = async (pool: Pool, sql: string, values: readonly unknown[] = []): Promise<number> => {
  const [[row]] = await pool.query<RowDataPacket[]>(sql, [...values]);
  return Number(row?.n);
};
