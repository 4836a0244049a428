import { describe, expect, test } from '@jest/globals';
import { wordingOf } from '../notifications/wording.ts';
import type { TestEvent } from '../testing/notifications.ts';
import { shopEvents as events } from '../testing/shop-events.ts';
import { deliveryMark, readShopEvent, ShopEventError } from './shop-event.ts';

const message = ({ type, data }: TestEvent, more: object = {}) =>
  Buffer.from(
    JSON.stringify({
      ...{ id: 'e-1', type, schema_version: 1, aggregate: 'order', key: '1', data },
      ...{ version: { epoch: 1, id: '18446744073709551615' }, at: '2026-01-02T03:04:05.678901Z' },
      ...more,
    }),
  );
const read = (event: TestEvent, headers: Record<string, unknown> = {}) =>
  readShopEvent({ body: message(event), headers });

const all: [TestEvent, string][] = [
  [events.placed(42, 7), 'Order 42 was placed|We have your order 42 over 12.34 EUR.'],
  [events.order('shipped', 42, 7), 'Order 42 was shipped|Your order 42 is on its way.'],
  [events.order('cancelled', 42, 7), 'Order 42 was cancelled|Your order 42 over 12.34 EUR was cancelled.'],
  [events.payment('settled', 42, 7), 'Payment for order 42|Your payment of 12.34 EUR has arrived.'],
  [events.payment('failed', 42, 7), 'Payment for order 42 failed|Your payment of 12.34 EUR was not taken.'],
  [events.payment('refunded', 42, 7), 'Refund for order 42|We have given back 12.34 EUR.'],
];

describe('an event of the shop', () => {
  test('is worded as the shop words it', () => {
    for (const [event, wording] of all) {
      const { meaning } = read(event);
      if (meaning.kind !== 'happening') throw new Error(`${event.type} means ${meaning.kind}`);
      const { title, body } = wordingOf(meaning.happening);
      expect(`${title}|${body}`).toBe(wording);
      expect(meaning.happening.accountId).toBe(7);
    }
  });

  test('is read with members that nobody knows yet, and one of an unknown type means nothing', () => {
    const { data, ...event } = events.placed(1, 2);
    expect(read({ ...event, data: { ...data, gift: true } }).meaning.kind).toBe('happening');
    expect(read({ type: 'order.wrapped', data: { anything: 1 } }).meaning).toEqual({ kind: 'nothing' });
  });

  test('keeps the whole of its position and its mark', () => {
    const header = `x-strangler-mark-${deliveryMark}`;
    const { position, mark } = read(events.placed(1, 2), { [header]: 'service/3' });
    expect(position).toEqual({ epoch: 1, id: 18446744073709551615n });
    expect(mark).toEqual({ side: 'service', epoch: 3 });
    expect(() => read(events.placed(1, 2), { [header]: 'nobody' })).toThrow(ShopEventError);
  });

  test('that is none is refused with every fault named', () => {
    expect(() => readShopEvent({ body: Buffer.from('{'), headers: {} })).toThrow(ShopEventError);
    const bad = { type: 'order.placed', data: { order_id: 0, account_id: 'x', total_cents: 1, currency: 'EUR' } };
    expect(() => read(bad)).toThrow(/order_id.*account_id.*occurred_at/s);
  });
});
