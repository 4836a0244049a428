import { type Backoff, nextBackoffMs } from '@strangler/platform/backoff.ts';
import { readFenceRefusal } from '@strangler/platform/contracts/fence-refusal.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import { throughSeam } from '@strangler/platform/ownership/through-seam.ts';
import { changeOr, FencedWrite } from '@strangler/platform/ownership/within-fence.ts';
import type { Transaction } from 'sequelize';
import type { Models } from '../../../models/index.ts';
import type { PaymentStatus } from '../payment-state.ts';
import type { LocalPayments, OrderOfPayment, Payments } from '../payments.ts';
import type { PaymentShown } from '../representation.ts';
import type { NewPayment, PaymentErrands } from './payment-errands.ts';
import { PaymentsAway } from './payments-away.ts';
import type { PaymentsClient } from './payments-client.ts';

export type PaymentsOfOwnerParts = {
  models: Models;
  owner: OwnerFollower;
  local: LocalPayments;
  client: PaymentsClient;
  errands: PaymentErrands;
  waitMs: number;
  log: Log;
};

const backoff: Backoff = { baseMs: 10, capMs: 100 };

/**
 * The payments, wherever they are: branch by abstraction. While they are the shop's, an order's payment is made in the order's own
 * transaction. Once they are the service's, that transaction leaves an errand in its place, and the service is asked for the money
 * after the commit; what it answers is known at once, and what it tells later comes by its events.
 */
export class PaymentsOfOwner implements Payments {
  readonly #parts: PaymentsOfOwnerParts;

  constructor(parts: PaymentsOfOwnerParts) {
    this.#parts = parts;
  }

  tellOrders(orders: OrderOfPayment): void {
    this.#parts.local.tellOrders(orders);
    this.#parts.errands.tellOrders(orders);
  }

  /** A transaction that meets the shop's closed fence has done nothing: it waits until the payments have moved, and is run again. */
  async placing<T>(work: () => Promise<T>): Promise<T> {
    const { owner, waitMs } = this.#parts;
    const untilMs = performance.now() + waitMs;
    let delayMs: number | undefined;
    for (;;) {
      const seen = owner.now();
      try {
        return await work();
      } catch (error) {
        const refusal = readFenceRefusal(error);
        if (refusal?.slice !== owner.slice) throw error;
        const leftMs = owner.now()?.epoch !== seen?.epoch ? 1 : untilMs - performance.now();
        if (leftMs <= 0) throw new FencedWrite(refusal, owner.now(), error);
        delayMs = nextBackoffMs(delayMs, backoff);
        await changeOr(owner, seen, Math.min(delayMs, leftMs));
      }
    }
  }

  async create(request: NewPayment, transaction: Transaction): Promise<void> {
    const { owner, local, errands } = this.#parts;
    if (owner.now()?.holder === 'service') await errands.add('charge', request, transaction);
    else await local.create(request, transaction);
  }

  charge(request: { orderId: number; cardToken: string }): Promise<PaymentStatus> {
    const { owner, local, errands, waitMs } = this.#parts;
    return throughSeam({
      owner,
      local: async () => {
        await errands.bringHome(request.orderId);
        return local.charge(request);
      },
      remote: (epoch) => this.#chargeThere(request, epoch),
      waitMs,
    });
  }

  /** Nobody here changes a payment that is the service's: there is nothing to lock. */
  async lockOf(orderId: number, transaction: Transaction): Promise<void> {
    const { owner, local } = this.#parts;
    if (owner.now()?.holder !== 'service') await local.lockOf(orderId, transaction);
  }

  /** Left to an errand in every case: the transaction is another's, and cannot be run again where it meets the fence. */
  async orderCancelled(orderId: number, transaction: Transaction): Promise<void> {
    const { errands } = this.#parts;
    await errands.add('cancel', await this.#amountOf(orderId, transaction), transaction);
    transaction.afterCommit(() => errands.settle(orderId));
  }

  /** Asks the service where it owns them. While the shop's table is kept in step, that tells what the service does not. */
  async ofOrders(orderIds: readonly number[]): Promise<ReadonlyMap<number, PaymentShown>> {
    const { owner, client, local, log } = this.#parts;
    const said = owner.now();
    if (said?.holder !== 'service') return local.ofOrders(orderIds);
    try {
      return await client.ofOrders(orderIds);
    } catch (error) {
      if (said.stage === 'complete') throw error;
      log.warn({ err: error }, 'payments are shown as they were copied');
      return local.ofOrders(orderIds);
    }
  }

  async #chargeThere(
    { orderId, cardToken }: { orderId: number; cardToken: string },
    epoch: number,
  ): Promise<PaymentStatus> {
    const { models, client, errands, log } = this.#parts;
    const order = await models.Order.findByPk(orderId, { rejectOnEmpty: true });
    // Its money goes back: none may be taken any more.
    if (order.status === 'cancelled') return (await client.find(orderId))?.status ?? 'cancelling';
    let payment: PaymentShown | undefined;
    try {
      payment = await client.charge({ ...(await this.#amountOf(orderId)), cardToken }, epoch);
    } catch (error) {
      if (!(error instanceof PaymentsAway)) throw error;
      // Whoever has died in the midst of it has left a payment that is pending, and is found out about.
      payment = await client.find(orderId).catch(() => undefined);
      if (payment === undefined) throw error;
      log.warn({ err: error, orderId }, 'the outcome of a charge is not known yet');
    }
    await errands.known(payment);
    return payment.status;
  }

  async #amountOf(orderId: number, transaction?: Transaction): Promise<NewPayment> {
    const inside = transaction === undefined ? {} : { transaction };
    const order = await this.#parts.models.Order.findByPk(orderId, { rejectOnEmpty: true, ...inside });
    const { account_id: accountId, total_cents: amountCents, currency } = order;
    return { orderId, accountId, amountCents, currency };
  }
}
