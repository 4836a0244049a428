import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type OrderEvent, type StoredEvent, upcast } from './order-event.ts';
import { decide, evolve, type OrderCommand, type OrderState } from './order-state.ts';

const lines = [{ product_id: 1, name: 'A thing', unit_price_cents: 300, quantity: 2 }];
const place: OrderCommand = { kind: 'place', accountId: 7, currency: 'EUR', lines };
const command = fc.constantFrom<OrderCommand>(
  place,
  { kind: 'pay' },
  { kind: 'ship' },
  { kind: 'cancel', reason: 'customer', cause: 'customer', by: 7 },
  { kind: 'cancel', reason: 'payment_failed', cause: 'payment_not_made', by: null },
);

/** The events that a history of commands leaves, and the order as it was decided upon. */
function live(commands: readonly OrderCommand[]): { events: OrderEvent[]; state: OrderState | undefined } {
  const events: OrderEvent[] = [];
  let state: OrderState | undefined;
  for (const [at, one] of [place, ...commands].entries()) {
    const decision = decide(state, one, new Date(1_000_000 + at));
    if (decision.kind !== 'events') continue;
    events.push(...decision.events);
    state = decision.events.reduce<OrderState | undefined>(evolve, state);
  }
  return { events, state };
}

describe('an order', () => {
  test('is what its events make of it, kept as JSON and read again', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 12 }), (commands) => {
        const { events, state } = live(commands);
        const kept: StoredEvent[] = events.map(({ type, data }) => {
          return { type, schemaVersion: type === 'order_placed' ? 2 : 1, data: JSON.parse(JSON.stringify(data)) };
        });
        expect(kept.map(upcast).reduce<OrderState | undefined>(evolve, undefined)).toEqual(state);
        expect(state?.version).toBe(events.length);
      }),
    );
  });

  test('is cancelled or shipped once, and never both; the same command again changes nothing', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 12 }), (commands) => {
        const { events, state } = live(commands);
        const ends = events.filter(({ type }) => type === 'order_cancelled' || type === 'order_shipped');
        expect(ends.length).toBeLessThanOrEqual(1);
        const last = commands.at(-1);
        if (last !== undefined) expect(decide(state, last, new Date()).kind).not.toBe('events');
      }),
    );
  });
});

describe('events of old versions', () => {
  const fixture: StoredEvent[] = JSON.parse(
    readFileSync(new URL('./fixtures/order_placed.v1.json', import.meta.url), 'utf8'),
  );

  test('an order placed under version 1 is read as one of today', () => {
    expect(fixture.map(upcast).reduce<OrderState | undefined>(evolve, undefined)).toEqual({
      ...{ accountId: 7, status: 'paid', totalCents: 9_300, currency: 'EUR', cancelReason: null, version: 2 },
      ...{ createdAt: '2026-01-05T10:00:00.000Z', updatedAt: '2026-01-05T10:00:01.250Z' },
      lines: [
        { product_id: 3, name: 'A lamp', unit_price_cents: 4_500, quantity: 2 },
        { product_id: 9, name: 'A bulb', unit_price_cents: 300, quantity: 1 },
      ],
    });
  });

  test('what this program does not know is refused, and named', () => {
    const [placed] = fixture;
    expect(() => upcast({ type: 'order_placed', schemaVersion: 3, data: placed?.data })).toThrow(
      /expected version 2 at most/,
    );
    expect(() => upcast({ type: 'order_painted', schemaVersion: 1, data: {} })).toThrow(/order_painted/);
    expect(() => upcast({ type: 'order_placed', schemaVersion: 2, data: placed?.data })).toThrow();
  });
});
