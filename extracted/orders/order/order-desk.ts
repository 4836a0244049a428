import { select } from '@strangler/platform/mysql/statements.ts';
import type { CancellationWay } from '../cancellation/way.ts';
import { keepPayment } from '../neighbours/payment-news.ts';
import type { Payments } from '../neighbours/payments.ts';
import type { Adoption } from '../saga/adopt.ts';
import type { SagaRunner } from '../saga/saga-runner.ts';
import type { SagaStore } from '../saga/saga-store.ts';
import type { OrderStatus } from './order-event.ts';
import type { OrderStore } from './order-store.ts';

export type CancelOutcome = { kind: 'cancelled' | 'no_such_order' | 'shipped' };
export type ShipOutcome = { kind: 'shipped' | 'no_such_order' } | { kind: 'not_paid'; status: OrderStatus };

/** What is asked of orders that are there. */
export type OrderDesk = {
  /**
   * Cancels an order that was not shipped; those who give back its stock and its money are waited for a while. `ofAccount`: only
   * an order of this account counts; null for an administrator.
   */
  cancel(orderId: number, by: { accountId: number; ofAccount: number | null }): Promise<CancelOutcome>;
  /** Marks a paid order as shipped. */
  ship(orderId: number): Promise<ShipOutcome>;
  /** Hears that something has become of an order's payment, and asks the payments what. */
  paymentNews(orderId: number): Promise<void>;
};

export function createOrderDesk({
  store,
  adoption,
  orders,
  runner,
  way,
  payments,
  waitMs,
}: {
  store: SagaStore;
  adoption: Adoption;
  orders: OrderStore;
  runner: Pick<SagaRunner, 'soon'>;
  way: CancellationWay;
  payments: Pick<Payments, 'ofOrder'>;
  waitMs: number;
}): OrderDesk {
  return {
    async cancel(orderId, { accountId, ofAccount }) {
      const why = ofAccount === null ? 'admin' : 'customer';
      // In the shop a stock adjustment names the customer who cancelled, and nobody where an administrator did.
      const by = ofAccount === null ? null : accountId;
      const done = await store.inTransaction(async (transaction) => {
        const [row] = await select<{ accountId: number }>(
          transaction,
          'SELECT account_id AS accountId FROM orders WHERE id = ?',
          [orderId],
        );
        if (row === undefined || (ofAccount !== null && row.accountId !== ofAccount))
          return { kind: 'no_such_order' } as const;
        const saga = await adoption.sagaOf(orderId, transaction);
        const command = { kind: 'cancel', reason: why, cause: why, by } as const;
        const { kind } = await orders.change(orderId, command, transaction, saga && way.marks(saga, by));
        if (kind === 'refused') return { kind: 'shipped' } as const;
        if (kind !== 'changed' || saga === undefined) return { kind: 'cancelled', saga: undefined } as const;
        const more = await way.begin(saga, transaction);
        const happenings = [{ kind: 'cancel asked', why, by } as const, { kind: 'order cancelled' } as const, ...more];
        return { kind: 'cancelled', saga: await store.write(saga, happenings, transaction, 'nobody') } as const;
      });
      if (done.kind === 'cancelled' && done.saga !== undefined) await way.takenNote(done.saga, waitMs);
      return { kind: done.kind };
    },

    async ship(orderId) {
      const changed = await store.inTransaction(async (transaction) => {
        // Sagas are locked before their orders, everywhere.
        await store.lock({ orderId }, transaction);
        return orders.change(orderId, { kind: 'ship' }, transaction);
      });
      switch (changed.kind) {
        case 'no such order':
          return { kind: 'no_such_order' };
        case 'refused':
          return { kind: 'not_paid', status: changed.state.status };
        case 'changed':
        case 'nothing':
          return { kind: 'shipped' };
      }
    },

    async paymentNews(orderId) {
      const payment = await payments.ofOrder(orderId);
      if (payment === undefined) return;
      const saga = await store.inTransaction(async (transaction) => {
        const known = await adoption.sagaOf(orderId, transaction);
        await keepPayment(transaction, payment);
        const { status, failureCode } = payment;
        return known && store.write(known, [{ kind: 'payment', status, failureCode }], transaction, 'nobody');
      });
      if (saga?.dueAt) runner.soon(saga.id);
    },
  };
}
