import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Books, bookFaults, type OrderRow } from './books.ts';

/** What may become of an order, and what it leaves in each book. */
const ends = {
  paid: { order: 'paid', payment: 'settled', charge: 'succeeded', refunded: false },
  declined: { order: 'cancelled', payment: 'failed', charge: 'failed', refunded: false },
  'cancelled after it was paid': { order: 'cancelled', payment: 'refunded', charge: 'succeeded', refunded: true },
} as const;

const booksOf = (stories: readonly (keyof typeof ends)[]): Books => {
  const all = stories.map((name, at) => ({ ...ends[name], id: at + 1, cents: 100 * (at + 1), reference: `pay_${at}` }));
  return {
    orders: all.map(({ id, order, cents }): OrderRow => ({ id, status: order, totalCents: cents })),
    payments: all.map(({ id, payment, cents, reference }) => ({
      ...{ orderId: id, reference, status: payment, amountCents: cents },
    })),
    charges: all.map(({ charge, refunded, cents, reference }) => ({
      ...{ reference, status: charge, amountCents: cents, refundedCents: refunded ? cents : 0 },
    })),
  };
};

test('books of whatever becomes of orders agree; money lost, taken twice or unaccounted for is found', () => {
  const names = Object.keys(ends) as (keyof typeof ends)[];
  const stories = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(stories, (some) => {
      const books = booksOf(['paid', ...some]);
      expect(bookFaults(books)).toEqual([]);
      const whats = (changed: Partial<Books>) => bookFaults({ ...books, ...changed }).map(({ what }) => what);
      const [charge] = books.charges;
      expect(whats({ charges: [...books.charges, charge!] })).toContain('charged more than once');
      expect(whats({ charges: books.charges.slice(1) })).toContain('money of a settled payment');
      expect(whats({ payments: books.payments.slice(1) })).toContain('charge without a payment');
      expect(whats({ orders: books.orders.slice(1) })).toContain('payment without an order');
      const waiting = books.orders.map((order, at) => (at === 0 ? { ...order, status: 'awaiting_payment' } : order));
      expect(whats({ orders: waiting })).toContain('order without an outcome');
    }),
  );
});
