import { describe, expect, test } from '@jest/globals';
import { problems } from '@strangler/platform/http/problem.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import type { Transaction } from 'sequelize';
import type { LocalInventory, StockLine, TakeStock } from '../inventory.ts';
import { InventoryOfOwner } from './inventory-of-owner.ts';
import type { StockClient } from './stock-client.ts';
import { type NewHold, reservationAgain, type StockErrands } from './stock-errands.ts';

const line = (productId: number, quantity: number): StockLine => ({ productId, quantity });
const cause = { orderId: 7, accountId: 8 };

/** A sale whose stock is the service's, with what was done for it, in order. */
function remoteSale({ carts, reserve = 'RESERVED' }: { carts: StockLine[][]; reserve?: 'RESERVED' | 'EXPIRED' }) {
  const did: string[] = [];
  let holds = 0;
  let isLost = false;
  const client = {
    reserve: async ({ id, lines }: { id: string; lines: StockLine[] }) => {
      did.push(`reserve ${id} ${lines.map(({ quantity }) => quantity).join()}`);
      return { kind: reserve };
    },
  } as unknown as StockClient;
  const errands = {
    hold: async ({ reservationId }: NewHold) => {
      did.push(`hold ${reservationId}`);
      holds += 1;
      return holds;
    },
    sell: async (hold: number, orderId: number) => {
      did.push(`sell ${hold} to ${orderId}`);
      return !isLost;
    },
    giveUp: async (hold: number) => void did.push(`give up ${hold}`),
    settle: async (orderId: number) => void did.push(`settle ${orderId}`),
  } as unknown as StockErrands;
  const owner = { slice: 'inventory', now: () => ({ owner: 'service', holder: 'service', epoch: 3, stage: 'writes' }) };
  const inventory = new InventoryOfOwner({
    fence: async () => 'open',
    owner: owner as unknown as OwnerFollower,
    local: {} as LocalInventory,
    client,
    errands,
    waitMs: 1_000,
  });
  const sale = { id: 'run', accountId: 8, lines: async () => carts.shift() ?? [] };
  const sell = <T>(place: (take: TakeStock) => Promise<T>) => inventory.sell(sale, place);
  return { did, sell, loseHolds: () => (isLost = true) };
}
const none = {} as Transaction;

describe('a sale whose stock is the service’s', () => {
  test('writes down what it reserves, reserves, makes it the order’s in its transaction, and settles that after the commit', async () => {
    const { did, sell } = remoteSale({ carts: [[line(1, 2)]] });
    await sell(async (take) => {
      expect(did).toEqual(['hold run.1', 'reserve run.1 2']);
      expect(await take([line(1, 2)], cause, none)).toEqual({ kind: 'taken' });
    });
    expect(did.slice(2)).toEqual(['sell 1 to 7', 'settle 7']);
  });

  test('of a cart that was changed meanwhile begins anew with what is in it, and gives up in the end', async () => {
    const changed = remoteSale({ carts: [[line(1, 2)], [line(1, 3)]] });
    await changed.sell((take) => take([line(1, 3)], cause, none));
    expect(changed.did).toEqual([
      ...['hold run.1', 'reserve run.1 2', 'give up 1'],
      ...['hold run.2', 'reserve run.2 3', 'sell 2 to 7', 'settle 7'],
    ]);
    const restless = remoteSale({ carts: [[line(1, 2)], [line(1, 2)], [line(1, 2)], [line(1, 2)]] });
    await expect(restless.sell((take) => take([line(1, 9)], cause, none))).rejects.toMatchObject({ status: 409 });
    expect(restless.did.filter((one) => one.startsWith('reserve'))).toHaveLength(3);
    expect(restless.did.filter((one) => one.startsWith('give up'))).toHaveLength(3);
  });

  test('that fails, known or unknown how, gives up what it held; one whose hold was given up before begins anew', async () => {
    for (const failure of [problems.conflict('no'), new Error('COMMIT was not answered')]) {
      const failing = remoteSale({ carts: [[line(1, 2)]] });
      await expect(failing.sell(() => Promise.reject(failure))).rejects.toBe(failure);
      expect(failing.did).toEqual(['hold run.1', 'reserve run.1 2', 'give up 1']);
    }
    const lost = remoteSale({ carts: [[line(1, 2)], [line(1, 2)], [line(1, 2)]] });
    lost.loseHolds();
    await expect(lost.sell((take) => take([line(1, 2)], cause, none))).rejects.toMatchObject({ status: 409 });
    expect(lost.did).not.toContain('settle 7');
  });

  test('of an empty cart asks nobody', async () => {
    const { did, sell } = remoteSale({ carts: [[]] });
    expect(await sell(async () => 'refused elsewhere')).toBe('refused elsewhere');
    expect(did).toEqual([]);
  });

  test('of a cart that was empty a moment ago takes nothing that was not reserved: it begins anew', async () => {
    const { did, sell } = remoteSale({ carts: [[], [line(1, 2)]] });
    await sell((take) => take([line(1, 2)], cause, none));
    expect(did).toEqual(['hold run.2', 'reserve run.2 2', 'sell 1 to 7', 'settle 7']);
  });
});

test('a reservation that is made again has an id of its own, each time', () => {
  expect(reservationAgain('run.1')).toBe('run.1.again-1');
  expect(reservationAgain(reservationAgain('run.1'))).toBe('run.1.again-2');
});
