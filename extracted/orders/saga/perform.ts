import { change } from '@strangler/platform/mysql/statements.ts';
import type { Carts } from '../neighbours/carts.ts';
import { keepPayment } from '../neighbours/payment-news.ts';
import type { Payment, Payments } from '../neighbours/payments.ts';
import type { Stock, StockLine } from '../neighbours/stock.ts';
import type { CancelReason } from '../order/order-event.ts';
import type { OrderStore } from '../order/order-store.ts';
import type { Command, Happening, SagaState, Why } from './saga-state.ts';
import type { InTransaction, Saga } from './saga-store.ts';

/** What came of a command: something to be written down, or work for the transaction that writes it down. */
export type Performed = Happening | InTransaction;

/** Does what a saga decides. Every call bears an id that is made of the saga's, so that it can be made again. */
export type Perform = (command: Command, saga: Saga, cardToken: string | undefined) => Promise<Performed>;

export function createPerform({
  stock,
  carts,
  payments,
  orders,
  holdMs,
}: {
  stock: Stock;
  carts: Carts;
  payments: Payments;
  orders: OrderStore;
  /** How long stock is asked to be held. */
  holdMs: number;
}): Perform {
  const performers: Record<Command, (saga: Saga, cardToken: string | undefined) => Promise<Performed>> = {
    reserve: async (saga) => {
      const { sale, reservation } = saga.state;
      const request = { id: reservationOf(saga), lines: linesOf(saga.state), ttlMs: holdMs, accountId: sale.accountId };
      const answer = await stock.reserve(request);
      if (answer.kind === 'short') return { kind: 'short', reservation, shortages: answer.shortages };
      if (answer.state === 'RESERVED') return { kind: 'reserved', reservation, untilMs: answer.untilMs };
      return soldOrGone(answer.state === 'CONFIRMED', reservation);
    },
    'confirm stock': async (saga) => {
      const state = await stock.confirm({ id: reservationOf(saga), orderId: orderOf(saga) });
      return soldOrGone(state === 'CONFIRMED', saga.state.reservation);
    },
    'release stock': async (saga) => {
      const state = await stock.release({ id: reservationOf(saga), reason: saga.state.why ?? 'given_up' });
      return state === 'CONFIRMED'
        ? { kind: 'stock sold', reservation: saga.state.reservation }
        : { kind: 'stock back' };
    },
    'give back stock': async (saga) => {
      await stock.giveBack({
        ...{ orderId: orderOf(saga), lines: linesOf(saga.state), accountId: saga.state.by },
        reservationId: saga.state.reservation === 0 ? undefined : reservationOf(saga),
      });
      return { kind: 'stock back' };
    },
    'take cart': async ({ id: saleId, accountId, state }) => {
      const taken = await carts.take({ accountId, saleId, version: state.sale.cartVersion ?? '' });
      return { kind: taken === 'taken' ? 'cart taken' : 'cart changed' };
    },
    'return cart': async ({ id: saleId, accountId }) => {
      await carts.giveBack({ accountId, saleId });
      return { kind: 'cart returned' };
    },
    charge: async (saga, cardToken) => {
      const { sale, payment, misses } = saga.state;
      const orderId = orderOf(saga);
      if (cardToken === undefined || payment !== 'asked') return heard(await payments.ofOrder(orderId));
      const { accountId, totalCents: amountCents, currency } = sale;
      // An order is charged once whatever the key, and an answer that was kept under a key says what was known then.
      const key = `${saga.id}-${misses}`;
      const answer = await payments.charge({ orderId, accountId, amountCents, currency, cardToken, key });
      if (answer.kind === 'refused') return { kind: 'payment', status: 'failed', failureCode: answer.code };
      return heard(answer.payment);
    },
    'ask payment': async (saga) => heard(await payments.ofOrder(orderOf(saga))),
    'cancel payment': async (saga) => heard(await payments.cancel(orderOf(saga))),
    'place order': async () => async (saga, transaction) => {
      const { accountId, currency, lines } = saga.state.sale;
      const { orderId } = await orders.place({ kind: 'place', accountId, currency, lines }, transaction);
      saga.orderId = orderId;
      await change(
        transaction,
        'UPDATE idempotency_keys SET order_id = ? WHERE account_id = ? AND idempotency_key = ? AND saga_id = ?',
        [...[orderId, accountId, saga.idempotencyKey, saga.id]],
      );
      return { kind: 'order placed' };
    },
    'pay order': async () => async (saga, transaction) => {
      const { kind } = await orders.change(orderOf(saga), { kind: 'pay' }, transaction);
      return { kind: kind === 'refused' ? 'order cancelled' : 'order paid' };
    },
    'cancel order': async () => async (saga, transaction) => {
      const { why, failureCode, by } = saga.state;
      const cause = failureCode === null ? `${why}` : `${why}: ${failureCode}`;
      const command = { kind: 'cancel', reason: reasonOf(why), cause, by } as const;
      const { kind } = await orders.change(orderOf(saga), command, transaction);
      return { kind: kind === 'refused' ? 'order shipped' : 'order cancelled' };
    },
  };
  return (command, saga, cardToken) => performers[command](saga, cardToken);
}

/** What the payments say is kept in the transaction in which it is learnt. */
export function heard(payment: Payment | undefined): Performed {
  if (payment === undefined) return { kind: 'no payment' };
  return async (_saga, transaction) => {
    await keepPayment(transaction, payment);
    return { kind: 'payment', status: payment.status, failureCode: payment.failureCode };
  };
}

/** The reason that an order's customer is told. */
export function reasonOf(why: Why | null): CancelReason {
  return why === 'customer' || why === 'admin' || why === 'out_of_stock' ? why : 'payment_failed';
}

function soldOrGone(isSold: boolean, reservation: number): Happening {
  return { kind: isSold ? 'stock sold' : 'reservation gone', reservation };
}

/** The name of the reservation that a saga has at the inventory, or is asking for. */
export function reservationOf({ id, state: { reservation } }: Pick<Saga, 'id' | 'state'>): string {
  return `${id}-${reservation}`;
}

function linesOf({ sale }: SagaState): StockLine[] {
  return sale.lines.map(({ product_id: productId, quantity }) => ({ productId, quantity }));
}

function orderOf({ id, orderId }: Saga): number {
  if (orderId === null) throw new Error(`saga ${id} has no order`);
  return orderId;
}
