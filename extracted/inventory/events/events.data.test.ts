import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type EventCheck, eventCheck } from '../testing/event-schemas.ts';
import { startTestInventory, type TestInventory } from '../testing/inventory.ts';
import { type RecordedEvent, recordedEvents } from '../testing/recorded-events.ts';

let inventory: TestInventory;
let admin: string;
let check: EventCheck;
let told = 0;
let ids = 0;

beforeAll(async () => {
  inventory = await startTestInventory('events', { SWEEP_EVERY: '10m' });
  admin = await inventory.issuer.token(1, 'admin');
  check = eventCheck();
});
afterAll(() => inventory?.stop());
beforeEach(async () => {
  told = (await recordedEvents(inventory.db)).length;
});

/** Of this test, each held to its schema. */
async function events(): Promise<RecordedEvent[]> {
  const all = (await recordedEvents(inventory.db)).slice(told);
  for (const event of all) {
    expect({ event, fault: check(event) }).toEqual({ event, fault: undefined });
    expect(event.topic).toBe(`shop.${event.type}`);
  }
  return all;
}
const typesOf = (all: RecordedEvent[]) => all.map(({ type }) => type);

async function reserved(ttl_ms = 60_000): Promise<{ id: string; productId: number }> {
  ids += 1;
  const productId = await inventory.product(10);
  const lines = [{ product_id: productId, quantity: 2 }];
  await inventory.client.call('Reserve', { reservation_id: `e-${ids}`, lines, ttl_ms, cause: { account_id: 8 } });
  return { id: `e-${ids}`, productId };
}

describe('what is told', () => {
  test('of an adjustment: the new level, once, and nothing where it is refused', async () => {
    const productId = await inventory.product(5);
    const path = `/api/inventory/${productId}/adjustments`;
    for (const delta of [3, -100]) {
      await inventory.send('POST', path, { token: admin, body: { delta, reason: 'counted' } });
    }
    expect(await events()).toEqual([
      expect.objectContaining({
        type: 'stock.changed',
        key: `${productId}`,
        data: { product_id: productId, available: 8, version: 2, occurred_at: expect.any(String) },
      }),
    ]);
  });

  test('of a reservation that is sold, and whose order is cancelled: each step, under its own key', async () => {
    const { id, productId } = await reserved();
    const lines = [{ product_id: productId, quantity: 2 }];
    await inventory.client.call('Confirm', { reservation_id: id, order_id: 900 });
    await inventory.client.call('Confirm', { reservation_id: id, order_id: 900 });
    await inventory.client.call('GiveBack', { order_id: 900, lines });
    const all = await events();
    expect(typesOf(all)).toEqual([
      'stock.changed',
      'stock.reserved',
      'stock.confirmed',
      'stock.changed',
      'stock.released',
    ]);
    expect(all[1]).toMatchObject({ key: id, data: { account_id: 8, lines } });
    expect(all[2]?.data).toMatchObject({ reservation_id: id, order_id: 900, lines });
    expect(all[4]?.data).toMatchObject({ reservation_id: id, order_id: 900, reason: 'order_cancelled' });
    expect(all.filter(({ type }) => type === 'stock.changed').map(({ data }) => data.available)).toEqual([8, 10]);
  });

  test('of one that is released: why', async () => {
    const { id } = await reserved();
    await inventory.client.call('Release', { reservation_id: id, reason: 'payment_failed' });
    expect((await events()).at(-1)).toMatchObject({ type: 'stock.released', data: { reason: 'payment_failed' } });
  });

  test('of one whose time is over: that, once, however many look', async () => {
    const { id } = await reserved(1_000);
    inventory.clock.advance(1_500);
    await Promise.all([1, 2, 3].map(() => inventory.reservations.expire(id)));
    expect(typesOf(await events())).toEqual(['stock.changed', 'stock.reserved', 'stock.changed', 'stock.expired']);
  });

  test('of what was short, or rolled back, is nothing', async () => {
    const productId = await inventory.product(1);
    const lines = [{ product_id: productId, quantity: 2 }];
    await inventory.client.call('Reserve', { reservation_id: 'short', lines, ttl_ms: 60_000 });
    expect(await events()).toEqual([]);
  });
});
