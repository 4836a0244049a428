import { Problem } from '@strangler/platform/http/problem.ts';
import type { OwnFence } from '@strangler/platform/ownership/own-fence.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import { throughSeam } from '@strangler/platform/ownership/through-seam.ts';
import type { Transaction } from 'sequelize';
import type { Inventory, LocalInventory, Sale, StockCause, StockLine, TakeStock } from '../inventory.ts';
import type { StockClient } from './stock-client.ts';
import { reservationTtlMs, type StockErrands } from './stock-errands.ts';

/** The cart is no longer what its stock was reserved for. */
class CartChanged extends Problem {
  constructor() {
    super({
      status: 409,
      title: 'Cart has changed',
      detail: 'The cart was changed while it was checked out; try again.',
    });
    this.name = 'CartChanged';
  }
}

/** A cart that is changed all the time is refused in the end. */
const MOST_RESERVATIONS = 3;

export type InventoryOfOwnerParts = {
  /** Of the shop's own tables. */
  fence: OwnFence;
  owner: OwnerFollower;
  local: LocalInventory;
  client: StockClient;
  errands: StockErrands;
  waitMs: number;
};

/**
 * The inventory, wherever its tables are: branch by abstraction. While they are the shop's, stock is taken in the sale's own
 * transaction. Once they are the service's, it is reserved before the transaction, and confirmed after its commit by an errand that
 * the transaction has left. Before anything is reserved it is written down that it may be: a sale that does not come about, whatever
 * became of it, leaves nothing held wherever the tables are by then.
 */
export class InventoryOfOwner implements Inventory {
  readonly #parts: InventoryOfOwnerParts;

  constructor(parts: InventoryOfOwnerParts) {
    this.#parts = parts;
  }

  sell<T>(sale: Sale, place: (take: TakeStock) => Promise<T>): Promise<T> {
    const { owner, fence, local, waitMs } = this.#parts;
    // Never one id twice: what one try has left behind is given up by itself, whatever the next one does.
    let reservations = 0;
    const nextReservationId = () => {
      reservations += 1;
      return `${sale.id}.${reservations}`;
    };
    return throughSeam({
      owner,
      fence,
      local: () => local.sell(sale, place),
      remote: (epoch) => this.#sellReserved(sale, place, { epoch, nextReservationId }),
      waitMs,
    });
  }

  /** Left to an errand in every case: the transaction is another's, and cannot be run again where it meets the fence. */
  async giveBack(lines: StockLine[], { orderId, accountId }: StockCause, transaction: Transaction): Promise<void> {
    const { errands } = this.#parts;
    await errands.giveBack(lines, { orderId, accountId }, transaction);
    transaction.afterCommit(() => void errands.settle(orderId));
  }

  async #sellReserved<T>(
    sale: Sale,
    place: (take: TakeStock) => Promise<T>,
    { epoch, nextReservationId }: { epoch: number; nextReservationId(): string },
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#sellOnce(sale, place, { epoch, reservationId: nextReservationId() });
      } catch (error) {
        if (!(error instanceof CartChanged) || attempt === MOST_RESERVATIONS) throw error;
      }
    }
  }

  async #sellOnce<T>(
    { accountId, lines: linesOf }: Sale,
    place: (take: TakeStock) => Promise<T>,
    { epoch, reservationId }: { epoch: number; reservationId: string },
  ): Promise<T> {
    const { client, errands } = this.#parts;
    const reserving = await linesOf();
    // An empty cart is refused when it is placed, as are products that are not sold any more; nothing else is sold unreserved.
    if (reserving.length === 0) {
      return place(async () => {
        throw new CartChanged();
      });
    }
    const hold = await errands.hold({ reservationId, accountId, lines: reserving });
    let placedOrderId: number | undefined;
    try {
      const answer = await client.reserve(
        { id: reservationId, lines: reserving, ttlMs: reservationTtlMs, accountId },
        epoch,
      );
      if (answer.kind === 'short') return await place(async () => answer);
      if (answer.kind !== 'RESERVED') throw new CartChanged();
      const placed = await place(async (lines, { orderId }, transaction) => {
        if (!sameLines(lines, reserving) || !(await errands.sell(hold, orderId, transaction))) throw new CartChanged();
        placedOrderId = orderId;
        return { kind: 'taken' };
      });
      if (placedOrderId !== undefined) await errands.settle(placedOrderId);
      return placed;
    } catch (error) {
      // Also where nobody knows whether it was committed: if it was, there is nothing to give up any more.
      void errands.giveUp(hold);
      throw error;
    }
  }
}

function sameLines(some: StockLine[], others: StockLine[]): boolean {
  const text = (lines: StockLine[]) =>
    lines
      .map(({ productId, quantity }) => `${productId}:${quantity}`)
      .sort()
      .join();
  return text(some) === text(others);
}
