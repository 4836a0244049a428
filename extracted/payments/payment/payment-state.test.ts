import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type PaymentStatus, paymentNews, paymentStatuses, transition } from './payment-state.ts';

const anyStatus = fc.constantFrom(...paymentStatuses);
const anyNews = fc.constantFrom(...paymentNews);

test('news that comes twice in a row is the same as news that comes once', () => {
  fc.assert(
    fc.property(anyStatus, anyNews, (status, news) => {
      const once = transition(status, news);
      expect(transition(once, news)).toBe(once);
    }),
  );
});

test('money that was given back stays given back', () => {
  fc.assert(
    fc.property(fc.array(anyNews), (all) => {
      expect(all.reduce<PaymentStatus>(transition, 'refunded')).toBe('refunded');
    }),
  );
});

test('whatever the order, a charge that settled and an order that was cancelled end with the money owed back', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(['settled', 'order_cancelled'] as const, { minLength: 2 }), (all) => {
      expect(all.reduce<PaymentStatus>(transition, 'pending')).toBe('refunding');
    }),
  );
});

test('no money is owed back that was never taken', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('failed' as const, 'order_cancelled' as const)), (all) => {
      expect(['pending', 'failed', 'cancelling']).toContain(all.reduce<PaymentStatus>(transition, 'pending'));
    }),
  );
});
