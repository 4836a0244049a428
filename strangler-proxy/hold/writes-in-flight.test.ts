import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { countWrites, type WriteTicket } from './writes-in-flight.ts';

test('a slice is quiet exactly when its last write has ended, once a time', () => {
  const quiet: string[] = [];
  const writes = countWrites((slice) => quiet.push(slice));
  const one = writes.begin('catalog', 'monolith', 1);
  const other = writes.begin('catalog', 'service', 2);
  writes.begin('orders', 'monolith', 1);
  one.end();
  one.end();
  expect([writes.of('catalog'), quiet]).toEqual([1, []]);
  other.end();
  expect([writes.of('catalog'), quiet]).toEqual([0, ['catalog']]);
  expect(writes.of('orders')).toBe(1);
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
        if (begin) open.push({ ticket: writes.begin('catalog', side, epoch), key: `${side} ${epoch}` });
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
