import type { OwnFence } from '@strangler/platform/ownership/own-fence.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import { throughSeam } from '@strangler/platform/ownership/through-seam.ts';
import { withinFence } from '@strangler/platform/ownership/within-fence.ts';
import type { Transaction } from 'sequelize';
import type { OrderOfPayment } from '../../payments/payments.ts';
import type { CancelOutcome, LocalOrders, NewLine, Orders, ShipOutcome } from '../orders.ts';

export type OrdersOfOwnerParts = {
  local: LocalOrders;
  /** Undefined: there are no flags, and the orders are here. */
  owner: OwnerFollower | undefined;
  /** Of the shop's own tables. */
  fence: OwnFence;
  waitMs: number;
};

/**
 * The orders, wherever they are. Once they are the service's nobody here sells, cancels or ships: a stray is told to send it again. What
 * becomes of their payments the service hears by itself, so that the shop has nothing to do about it.
 */
export class OrdersOfOwner implements Orders, OrderOfPayment {
  readonly #parts: OrdersOfOwnerParts;

  constructor(parts: OrdersOfOwnerParts) {
    this.#parts = parts;
  }

  /** Whether they are the shop's, also while they are being moved away. */
  areHere(): boolean {
    return (this.#parts.owner?.now()?.holder ?? 'monolith') === 'monolith';
  }

  /** Runs a write of the orders that somebody waits for; one that meets the closed fence is run again once it is open. */
  whileHere<T>(write: () => Promise<T>): Promise<T> {
    const { owner, fence, waitMs } = this.#parts;
    return owner === undefined ? write() : withinFence(write, { owner, self: 'monolith', fence, waitMs });
  }

  telling<T>(work: () => Promise<T>): Promise<T> {
    const { owner, fence, waitMs } = this.#parts;
    return owner === undefined ? work() : throughSeam({ owner, fence, local: work, remote: work, waitMs });
  }

  place(
    request: { accountId: number; currency: string; lines: NewLine[] },
    transaction: Transaction,
  ): Promise<{ orderId: number; totalCents: number }> {
    return this.#parts.local.place(request, transaction);
  }

  cancel(orderId: number, ofAccount: number | null): Promise<CancelOutcome> {
    return this.whileHere(() => this.#parts.local.cancel(orderId, ofAccount));
  }

  ship(orderId: number): Promise<ShipOutcome> {
    return this.whileHere(() => this.#parts.local.ship(orderId));
  }

  async lock(orderId: number, transaction: Transaction): Promise<void> {
    if (this.areHere()) await this.#parts.local.lock(orderId, transaction);
  }

  async paymentSettled(orderId: number, transaction: Transaction): Promise<void> {
    if (this.areHere()) await this.#parts.local.paymentSettled(orderId, transaction);
  }

  async paymentFailed(orderId: number, transaction: Transaction): Promise<void> {
    if (this.areHere()) await this.#parts.local.paymentFailed(orderId, transaction);
  }
}
