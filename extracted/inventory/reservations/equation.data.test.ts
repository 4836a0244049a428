import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { pause } from '@strangler/platform/backoff.ts';
import { type BalancedGrpcClient, createBalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
import { GrpcCallError } from '@strangler/platform/grpc/errors.ts';
import { fixedGrpcInstances } from '@strangler/platform/grpc/instances.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import type { RowDataPacket } from 'mysql2/promise';
import { inventoryPackageName, inventoryProtoPath } from '../grpc/server.ts';
import { letThemBuy, seededRandom, type Told } from '../testing/buyers.ts';
import { faultsOf, readStock } from '../testing/equation.ts';
import { environment, startTestInventory, type TestInventory } from '../testing/inventory.ts';
import { type InventoryProcess, startInventoryProcess } from '../testing/inventory-process.ts';

/** A soak asks for more: STOCK_BUYERS=1000 STOCK_ITEMS=100. */
const buyers = Number(process.env.STOCK_BUYERS ?? 200);
const items = Number(process.env.STOCK_ITEMS ?? 20);
const seed = Number(process.env.STOCK_SEED ?? 20_261_121);

let inventory: TestInventory;
let other: InventoryProcess;
let client: BalancedGrpcClient;
let admin: string;
/** As Consul would tell it. */
const addresses: string[] = [];

beforeAll(async () => {
  const sweeping = { SWEEP_EVERY: '100ms', DATABASE_QUEUE_MAX: '5000' };
  inventory = await startTestInventory('equation', sweeping);
  admin = await inventory.issuer.token(1, 'admin');
  other = await startInventoryProcess({ ...environment(inventory.database.url, inventory.issuer.url), ...sweeping });
  addresses.push(inventory.grpc.address, other.address);
  client = createBalancedGrpcClient({
    instances: fixedGrpcInstances(addresses),
    protoPath: inventoryProtoPath,
    packageName: inventoryPackageName,
    serviceName: 'Inventory',
    deadlineMs: 60_000,
    retries: 5,
  });
});
afterAll(async () => {
  client?.close();
  other?.signal('SIGKILL');
  await inventory?.stop();
});

/** What the tables say that became of the reservations, as an answer would name it. */
async function statesOf(run: string): Promise<Map<string, string>> {
  const [rows] = await inventory.db.query<RowDataPacket[]>('SELECT id, state FROM reservations WHERE id LIKE ?', [
    `${run}.%`,
  ]);
  return new Map(rows.map(({ id, state }) => [id, String(state).toUpperCase()]));
}

/** Repeats a call for as long as the service is too busy for it: every call may be repeated. */
async function surely(method: string, request: object): Promise<string> {
  for (;;) {
    try {
      return (await client.call<{ outcome: string }>(method, request, { idempotent: true })).outcome;
    } catch (error) {
      if (!(error instanceof GrpcCallError) || error.statusName !== 'UNAVAILABLE') throw error;
      await pause(100);
    }
  }
}

async function nothingHeld(): Promise<void> {
  const held = async () => (await readStock(inventory.db)).reduce((sum, { reserved }) => sum + reserved, 0);
  await eventually(async () => expect(await held()).toBe(0), { withinMs: 60_000 });
}

describe('available, reserved and sold', () => {
  test('add up at all times, under buyers who quarrel, adjustments by hand, and a process that is killed among them', async () => {
    const productIds: number[] = [];
    for (let n = 0; n < items; n += 1) productIds.push(await inventory.product(30));
    const random = seededRandom(seed);
    let reserved = 0;
    const buying = { over: false };
    const watching = (async () => {
      let looked = 0;
      for (; !buying.over; looked += 1) {
        expect(faultsOf(await readStock(inventory.db))).toEqual([]);
        await pause(100);
      }
      return looked;
    })();
    const adjusting = (async () => {
      for (let n = 0; !buying.over; n += 1) {
        const productId = productIds[n % productIds.length];
        const body = { delta: n % 3 === 0 ? -1 : 2, reason: 'stocktaking' };
        const { status } = await inventory.send('POST', `/api/inventory/${productId}/adjustments`, {
          token: admin,
          body,
        });
        // 503: too busy just now, and nothing was done.
        expect([201, 409, 503]).toContain(status);
        await pause(50);
      }
    })();
    const told: Told = await letThemBuy({
      ...{ client, run: 'many', buyers, rounds: 2, productIds, random },
      ttlMs: { patient: 30_000, hurried: 1_000 },
      onReserved: () => {
        reserved += 1;
        if (reserved === Math.floor(buyers / 2)) other.signal('SIGKILL');
      },
    }).finally(() => {
      buying.over = true;
    });
    await adjusting;
    expect(await watching).toBeGreaterThan(3);
    expect(await other.exited).toBe('SIGKILL');
    addresses.pop();
    // A balanced client repeats at the other instance what the killed one did not answer.
    expect(told.outcomes.size).toBeGreaterThan(buyers);

    // At rest: nobody holds anything, and whatever was told is so.
    await nothingHeld();
    expect(faultsOf(await readStock(inventory.db))).toEqual([]);
    const states = await statesOf('many');
    for (const [id, outcome] of told.outcomes) {
      expect({ id, state: states.get(id) }).toEqual({ id, state: outcome === 'RESERVED' ? 'EXPIRED' : outcome });
    }
    for (const outcome of ['CONFIRMED', 'RELEASED', 'EXPIRED']) expect([...states.values()]).toContain(outcome);
  });

  test('are never more than there was: of many who want the last ones, as many get one as there are', async () => {
    const productIds = [await inventory.product(10), await inventory.product(25), await inventory.product(1)];
    const outcomes = await Promise.all(
      productIds.flatMap((product_id) =>
        Array.from({ length: 60 }, async (_, n) => {
          const reservation_id = `last.${product_id}.${n}`;
          const lines = [{ product_id, quantity: 1 }];
          const reserve = { reservation_id, lines, ttl_ms: 60_000 };
          if ((await surely('Reserve', reserve)) === 'SHORT') return undefined;
          await surely('Confirm', { reservation_id });
          return product_id;
        }),
      ),
    );
    expect(productIds.map((id) => outcomes.filter((got) => got === id).length)).toEqual([10, 25, 1]);
    for (const productId of productIds) expect(await inventory.available(productId)).toBe(0);
    expect(faultsOf(await readStock(inventory.db))).toEqual([]);
  });
});

test('the reader of the equation sees what does not add up', async () => {
  const productId = await inventory.product(5);
  await inventory.db.query('UPDATE stock_levels SET available = 6 WHERE product_id = ?', [productId]);
  expect(faultsOf(await readStock(inventory.db)).map((fault) => fault.productId)).toEqual([productId]);
});
