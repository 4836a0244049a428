import { createPool } from '@strangler/platform/mysql/pool.ts';
import { startFuzzPair } from '../fuzz-pair.ts';
import { startInventoryPair } from './inventory-pair.ts';
import { startNotificationsPair } from './notifications-pair.ts';
import { startOrdersPair } from './orders-pair.ts';
import { startPaymentsPair } from './payments-pair.ts';
import type { SlicePair } from './slice-pair.ts';

const startCatalogPair = async (label: string): Promise<SlicePair> => {
  const { pair, running, stop } = await startFuzzPair(label);
  const { shop, own } = pair.databases;
  return {
    slice: 'catalog',
    running,
    addresses: {
      ...{ left: pair.monolith.url, right: pair.catalog.url },
      ...{ leftDatabase: shop.url, rightDatabase: own.url },
    },
    async spoil() {
      const pool = createPool(own.url, { connectionLimit: 1 });
      await pool.query('UPDATE products SET price_cents = price_cents + 1 LIMIT 1');
      await pool.end();
    },
    stop,
  };
};

/** How shop and service of each slice are put beside each other, with the same data and nothing between them. */
export const slicePairs = {
  catalog: startCatalogPair,
  inventory: startInventoryPair,
  notifications: startNotificationsPair,
  payments: startPaymentsPair,
  orders: startOrdersPair,
} as const satisfies Record<string, (label: string) => Promise<SlicePair>>;

export type FuzzedSlice = keyof typeof slicePairs;
export const fuzzedSlices = Object.keys(slicePairs) as FuzzedSlice[];

export const isFuzzedSlice = (name: string): name is FuzzedSlice => name in slicePairs;
