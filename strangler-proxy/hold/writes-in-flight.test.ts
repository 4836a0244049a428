import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { countWrites, type WriteTicket } from './writes-in-flight.ts';

test('a slice is quiet exactly when its last write has ended, once a time', () => {
  const quiet: string[] = [];
  const writes = countWrites((slice) => quiet.push(slice));
  const one = writes.begin('catalog', 'monolith', 1, 'POST /a');
  const other = writes.begin('catalog', 'service', 2, 'POST /a');
  writes.begin('orders', 'monolith', 1, 'POST /b');
  one.end();
  one.end();
  expect([writes.of('catalog'), quiet]).toEqual([1, []]);
  other.end();
  expect([writes.of('catalog'), quiet]).toEqual([0, ['catalog']]);
  expect(writes.of('orders')).toBe(1);
});

test('the oldest is the one that began first of those that are under way, with its route and its age', () => {
  let nowMs = 1_000;
  const writes = countWrites(
    () => {},
    () => nowMs,
  );
  expect(writes.oldest('orders')).toBeNull();
  const first = writes.begin('orders', 'monolith', 1, 'POST /api/checkout');
  nowMs += 700;
  const second = writes.begin('orders', 'monolith', 1, 'POST /api/orders/:id/cancel');
  nowMs += 300;
  expect(writes.oldest('orders')).toEqual({ route: 'POST /api/checkout', forMs: 1_000 });
  first.end();
  expect(writes.oldest('orders')).toEqual({ route: 'POST /api/orders/:id/cancel', forMs: 300 });
  second.end();
  expect([writes.oldest('orders'), writes.oldest('catalog')]).toEqual([null, null]);
});

test('the slowest is the longest of those that are over, and is forgotten in time', () => {
  let nowMs = 1_000;
  const writes = countWrites(
    () => {},
    () => nowMs,
  );
  for (const [route, tookMs] of [
    ['POST /quick', 20],
    ['POST /slow', 7_000],
    ['POST /quick', 30],
  ] as const) {
    const ticket = writes.begin('orders', 'monolith', 1, route);
    nowMs += tookMs;
    ticket.end();
  }
  writes.begin('orders', 'monolith', 1, 'POST /still');
  expect(writes.slowest('orders')).toEqual({ route: 'POST /slow', tookMs: 7_000 });
  expect(writes.slowest('catalog')).toBeNull();
  nowMs += 20 * 60_000;
  expect(writes.slowest('orders')).toBeNull();
});

test('counts by side and epoch are those of the writes that have not ended, and keep nothing of those that have', () => {
  const step = fc.record({
    begin: fc.boolean(),
    side: fc.constantFrom('monolith', 'service' as const),
    epoch: fc.constantFrom(null, 1, 2),
    pick: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const writes = countWrites(() => {});
      const open: { ticket: WriteTicket; key: string }[] = [];
      for (const { begin, side, epoch, pick } of steps) {
        if (begin) open.push({ ticket: writes.begin('catalog', side, epoch, 'POST /a'), key: `${side} ${epoch}` });
        else if (open.length > 0) open.splice(pick % open.length, 1)[0]!.ticket.end();
        const expected = Map.groupBy(open, ({ key }) => key);
        const counts = writes.counts('catalog');
        expect(new Map(counts.map(({ side, epoch, writes }) => [`${side} ${epoch}`, writes]))).toEqual(
          new Map([...expected].map(([key, all]) => [key, all.length])),
        );
        expect(counts).toHaveLength(expected.size);
        expect(writes.of('catalog')).toBe(open.length);
      }
    }),
  );
});
