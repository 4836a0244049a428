import { describe, expect, test } from '@jest/globals';
import { problems } from '@strangler/platform/http/problem.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import { pino } from 'pino';
import type { Sequelize, Transaction } from 'sequelize';
import type { LocalInventory, StockLine, TakeStock } from '../inventory.ts';
import { InventoryOfOwner } from './inventory-of-owner.ts';
import type { StockClient } from './stock-client.ts';
import { type NewErrand, reservationAgain, type StockErrands } from './stock-errands.ts';

const line = (productId: number, quantity: number): StockLine => ({ productId, quantity });
const cause = { orderId: 7, accountId: 8 };

/** A sale whose stock is the service's, with what it did there and what it left behind. */
function remoteSale({ carts, reserve = 'RESERVED' }: { carts: StockLine[][]; reserve?: 'RESERVED' | 'EXPIRED' }) {
  const did: string[] = [];
  const left: NewErrand[] = [];
  const client = {
    reserve: async ({ id, lines }: { id: string; lines: StockLine[] }) => {
      did.push(`reserve ${id} ${lines.map(({ quantity }) => quantity).join()}`);
      return { kind: reserve };
    },
    release: async (id: string) => {
      did.push(`release ${id}`);
      return 'RELEASED';
    },
  } as unknown as StockClient;
  const errands = {
    add: async (errand: NewErrand) => void left.push(errand),
    settle: async (orderId: number) => void did.push(`settle ${orderId}`),
  } as unknown as StockErrands;
  const owner = { slice: 'inventory', now: () => ({ owner: 'service', holder: 'service', epoch: 3, stage: 'writes' }) };
  const inventory = new InventoryOfOwner({
    sequelize: {} as Sequelize,
    owner: owner as unknown as OwnerFollower,
    local: {} as LocalInventory,
    client,
    errands,
    waitMs: 1_000,
    log: pino({ level: 'silent' }),
  });
  const sale = { id: 'run', accountId: 8, lines: async () => carts.shift() ?? [] };
  const sell = <T>(place: (take: TakeStock) => Promise<T>) => inventory.sell(sale, place);
  return { did, left, sell };
}
const none = {} as Transaction;

describe('a sale whose stock is the service’s', () => {
  test('reserves before its transaction, leaves the confirmation in it, and settles that after the commit', async () => {
    const { did, left, sell } = remoteSale({ carts: [[line(1, 2)]] });
    await sell(async (take) => {
      expect(did).toEqual(['reserve run.3.1 2']);
      expect(await take([line(1, 2)], cause, none)).toEqual({ kind: 'taken' });
    });
    expect(left).toEqual([
      { kind: 'confirm', orderId: 7, reservationId: 'run.3.1', accountId: 8, lines: [line(1, 2)] },
    ]);
    expect(did.slice(1)).toEqual(['settle 7']);
  });

  test('of a cart that was changed meanwhile begins anew with what is in it, and gives up in the end', async () => {
    const changed = remoteSale({ carts: [[line(1, 2)], [line(1, 3)]] });
    await changed.sell((take) => take([line(1, 3)], cause, none));
    expect(changed.did).toEqual(['reserve run.3.1 2', 'release run.3.1', 'reserve run.3.2 3', 'settle 7']);
    const restless = remoteSale({ carts: [[line(1, 2)], [line(1, 2)], [line(1, 2)], [line(1, 2)]] });
    await expect(restless.sell((take) => take([line(1, 9)], cause, none))).rejects.toMatchObject({ status: 409 });
    expect(restless.did.filter((one) => one.startsWith('reserve'))).toHaveLength(3);
    expect(restless.left).toEqual([]);
  });

  test('that is refused gives up its reservation; one of which nobody knows leaves it to its errand or its expiry', async () => {
    const refused = remoteSale({ carts: [[line(1, 2)]] });
    await expect(refused.sell(() => Promise.reject(problems.conflict('no')))).rejects.toMatchObject({ status: 409 });
    expect(refused.did).toEqual(['reserve run.3.1 2', 'release run.3.1']);
    const lost = remoteSale({ carts: [[line(1, 2)]] });
    await expect(lost.sell(() => Promise.reject(new Error('COMMIT was not answered')))).rejects.toThrow('COMMIT');
    expect(lost.did).toEqual(['reserve run.3.1 2']);
  });

  test('of an empty cart asks nobody', async () => {
    const { did, sell } = remoteSale({ carts: [[]] });
    expect(await sell(async () => 'refused elsewhere')).toBe('refused elsewhere');
    expect(did).toEqual([]);
  });
});

test('a reservation that is made again has an id of its own, each time', () => {
  expect(reservationAgain('run.3.1')).toBe('run.3.1.again-1');
  expect(reservationAgain(reservationAgain('run.3.1'))).toBe('run.3.1.again-2');
});
