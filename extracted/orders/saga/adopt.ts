import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { isDuplicate, select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import type { Clock } from '../clock.ts';
import { type OrderStore, VersionConflict } from '../order/order-store.ts';
import { adopted } from './saga-state.ts';
import { isLeft, type Saga, type SagaStore } from './saga-store.ts';

/** Gives a saga to orders that another system has placed. */
export type Adoption = {
  /** The order's saga, locked; one is made where there is none. Undefined: no such order, or it has ended. */
  sagaOf(orderId: number, transaction: Executor): Promise<Saga | undefined>;
  /** Adopts orders that wait for a payment and that nobody here looks after; gives the ids of their sagas. */
  adoptWaiting(limit: number): Promise<string[]>;
};

export function createAdoption({
  pool,
  store,
  orders,
  clock,
}: {
  pool: Pool;
  store: SagaStore;
  orders: OrderStore;
  clock: Clock;
}): Adoption {
  const sagaOf: Adoption['sagaOf'] = async (orderId, transaction) => {
    const known = await store.lock({ orderId }, transaction);
    if (known !== undefined && !isLeft(known)) return known;
    const order = await orders.load(orderId, transaction);
    if (order === undefined) return undefined;
    const { accountId, currency, totalCents, status, lines } = order.state;
    if (status !== 'awaiting_payment' && status !== 'paid') return undefined;
    const sale = { accountId, currency, totalCents, cartVersion: null, lines: [...lines] };
    const state = adopted(sale, status === 'paid' ? 'paid' : 'placed', clock.now().getTime());
    if (known !== undefined) {
      await store.restart(known, state, transaction);
      return store.lock({ orderId }, transaction);
    }
    const id = `order-${orderId}`;
    try {
      await store.insert({ id, accountId, idempotencyKey: null, orderId, state }, transaction);
    } catch (error) {
      // Somebody else has adopted it since it was looked for: look again.
      throw isDuplicate(error) ? new VersionConflict(orderId, order.streamVersion) : error;
    }
    return store.lock({ orderId }, transaction);
  };

  return {
    sagaOf,
    async adoptWaiting(limit) {
      const waiting = await select<{ id: number }>(
        pool,
        `SELECT o.id FROM orders o LEFT JOIN sagas s ON s.order_id = o.id
            AND NOT (s.due_at IS NULL AND JSON_UNQUOTE(JSON_EXTRACT(s.state, '$.order')) = 'placed')
          WHERE o.status = 'awaiting_payment' AND s.id IS NULL ORDER BY o.id LIMIT ?`,
        [limit],
      );
      const sagas: string[] = [];
      for (const { id } of waiting) {
        const saga = await store.inTransaction((transaction) => sagaOf(id, transaction));
        if (saga !== undefined) sagas.push(saga.id);
      }
      return sagas;
    },
  };
}
