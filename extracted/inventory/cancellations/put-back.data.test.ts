import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { markHeader } from '@strangler/platform/outbox/message.ts';
import { Registry } from 'prom-client';
import { createEventRecorder } from '../events/event-recorder.ts';
import { createReservationService } from '../reservations/reservation-service.ts';
import { createStockLedger } from '../stock/stock-ledger.ts';
import { eventCheck } from '../testing/event-schemas.ts';
import { startTestInventory, type TestInventory } from '../testing/inventory.ts';
import { recordedEvents } from '../testing/recorded-events.ts';
import { createTransactions } from '../transactions.ts';
import { readCancelledOrder } from './cancelled-order.ts';
import { CannotPutBack, createPutBack, type PutBack } from './put-back.ts';

let inventory: TestInventory;
let putBack: PutBack;
let orders = 0;

beforeAll(async () => {
  inventory = await startTestInventory('put_back', { SWEEP_EVERY: '10m' });
  const { pool, clock } = inventory;
  const events = createEventRecorder({ epoch: () => 1 });
  const transactions = createTransactions({ pool, registry: new Registry() });
  const fenced = <T>(write: () => Promise<T>) => write();
  const shared = { transactions, fenced, events, clock };
  const reservations = createReservationService({
    ...shared,
    ledger: createStockLedger({ events }),
    isTheShops: () => false,
  });
  putBack = createPutBack({ ...shared, reservations });
});
afterAll(() => inventory?.stop());

const answersTo = async (orderId: number) =>
  (await recordedEvents(inventory.db))
    .filter(({ type, key }) => type === 'cancellation.stock_answered' && key === `${orderId}`)
    .map(({ data }) => data.outcome);

async function cancelled(reservationId: string | undefined, { isMade = true, quantity = 2 } = {}) {
  orders += 1;
  const productId = await inventory.product(10);
  const lines = [{ productId, quantity }];
  const reserve = (id: string) =>
    inventory.client.call<{ outcome: string }>('Reserve', {
      ...{ reservation_id: id, lines: [{ product_id: productId, quantity }], ttl_ms: 60_000 },
    });
  if (isMade && reservationId !== undefined) await reserve(reservationId);
  const order = { eventId: randomUUID(), orderId: orders, lines, reservationId, accountId: 7 };
  return { productId, order, reserve, left: () => inventory.available(productId) };
}

describe('the stock of a cancelled order', () => {
  test('is put back once, held or sold, however often it is told, and every time it is told anew it is answered', async () => {
    for (const sold of [false, true]) {
      const { order, left } = await cancelled(`back-${sold}`);
      if (sold) await inventory.client.call('Confirm', { reservation_id: `back-${sold}`, order_id: order.orderId });
      expect(await left()).toBe(8);
      expect((await Promise.all([1, 2, 3].map(() => putBack(order)))).sort()).toEqual([
        'done',
        'done before',
        'done before',
      ]);
      expect(await putBack({ ...order, eventId: randomUUID() })).toBe('done');
      expect(await left()).toBe(10);
      expect(await answersTo(order.orderId)).toEqual(['returned', 'returned']);
    }
  });

  test('that was never taken stays where it is, and is not taken by whoever asks for it too late', async () => {
    const { order, left, reserve } = await cancelled('never', { isMade: false });
    expect(await putBack(order)).toBe('done');
    expect((await reserve('never')).outcome).toBe('RELEASED');
    expect(await putBack({ ...order, eventId: randomUUID() })).toBe('done');
    expect(await left()).toBe(10);
    expect(await answersTo(order.orderId)).toEqual(['released', 'released']);
  });

  test('that was sold without a reservation is put back under its order', async () => {
    const { order, left } = await cancelled(undefined);
    expect([await putBack(order), await putBack({ ...order, eventId: randomUUID() })]).toEqual(['done', 'done']);
    expect(await left()).toBe(12);
    expect(await answersTo(order.orderId)).toEqual(['returned', 'returned']);
  });

  test('whose hold ran out is there already', async () => {
    const { order, left } = await cancelled('late');
    inventory.clock.advance(61_000);
    await putBack(order);
    expect([await left(), await answersTo(order.orderId)]).toEqual([10, ['expired']]);
  });

  test('that is another than was taken is nobody’s to guess: nothing is done, and nothing is remembered', async () => {
    const { order, left, productId } = await cancelled('other');
    const wrong = { ...order, lines: [{ productId, quantity: 1 }] };
    for (let time = 1; time <= 2; time += 1) await expect(putBack(wrong)).rejects.toThrow(CannotPutBack);
    expect(await left()).toBe(8);
    expect(await putBack(order)).toBe('done');
    expect(await left()).toBe(10);
  });

  test('is answered as the schema says', async () => {
    const check = eventCheck();
    const told = (await recordedEvents(inventory.db)).filter(({ type }) => type.startsWith('cancellation.'));
    expect(told.length).toBeGreaterThan(5);
    expect(told.map(check).filter((fault) => fault !== undefined)).toEqual([]);
  });
});

describe('a message that an order is cancelled', () => {
  const data = { order_id: 5, items: [{ product_id: 3, quantity: 2, name: 'A thing', unit_price_cents: 1 }] };
  const body = (more: object = {}) => Buffer.from(JSON.stringify({ id: 'e', type: 'order.cancelled', data, ...more }));
  const choreographed = { [markHeader('cancellation')]: 'choreographed' };

  test('is of interest only where nobody directs what follows from it', () => {
    expect(readCancelledOrder({ headers: {}, body: body() }).kind).toBe("another's");
    expect(readCancelledOrder({ headers: {}, body: Buffer.from('not JSON') }).kind).toBe("another's");
    const headers = { ...choreographed, [markHeader('reservation')]: 'sale-1', [markHeader('asked-by')]: '7' };
    expect(readCancelledOrder({ headers, body: body() })).toEqual({
      kind: 'ours',
      cancelled: {
        ...{ eventId: 'e', orderId: 5, reservationId: 'sale-1', accountId: 7 },
        lines: [{ productId: 3, quantity: 2 }],
      },
    });
    expect(readCancelledOrder({ headers: choreographed, body: body() })).toMatchObject({
      cancelled: { reservationId: undefined, accountId: null },
    });
  });

  test('that says less than it has to is a fault', () => {
    for (const wrong of [body({ data: { order_id: 5 } }), body({ type: 'order.placed' }), Buffer.from('{')])
      expect(readCancelledOrder({ headers: choreographed, body: wrong }).kind).toBe('fault');
    const headers = { ...choreographed, [markHeader('reservation')]: 'no spaces' };
    expect(readCancelledOrder({ headers, body: body() }).kind).toBe('fault');
  });
});
