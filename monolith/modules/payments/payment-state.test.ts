import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { isOpen, type PaymentNews, type PaymentStatus, paymentStatuses, transition } from './payment-state.ts';

const news: PaymentNews[] = ['settled', 'failed', 'refunded', 'order_cancelled'];
const anyNews = fc.constantFrom(...news);

const after = (from: PaymentStatus, all: PaymentNews[]): PaymentStatus =>
  all.reduce((status, one) => transition(status, one).to, from);

describe('the state of a payment', () => {
  test('hearing the same news twice in a row changes nothing the second time', () => {
    for (const status of paymentStatuses) {
      for (const one of news) {
        const first = transition(status, one);
        expect(transition(first.to, one)).toEqual({ to: first.to, order: 'none' });
      }
    }
  });

  test('once money was given back, nothing that is heard later changes that', () => {
    fc.assert(
      fc.property(fc.array(anyNews), fc.array(anyNews), (before, later) => {
        expect(after('pending', [...before, 'refunded', ...later])).toBe('refunded');
      }),
    );
  });

  test('the order is paid at most once, cancelled at most once, and never both', () => {
    fc.assert(
      fc.property(fc.array(anyNews), (all) => {
        let status: PaymentStatus = 'pending';
        const effects: string[] = [];
        for (const one of all) {
          const { to, order } = transition(status, one);
          if (order !== 'none') effects.push(order);
          status = to;
        }
        expect(effects.length).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('money that was taken for an order that is cancelled is given back, whichever is heard first', () => {
    expect(after('pending', ['settled', 'order_cancelled'])).toBe('refunding');
    expect(after('pending', ['order_cancelled', 'settled'])).toBe('refunding');
  });

  test('a charge that settles after it was given up is refunded', () => {
    expect(after('pending', ['failed', 'settled'])).toBe('refunding');
  });

  test('a settled payment does not fail', () => {
    expect(after('pending', ['settled', 'failed'])).toBe('settled');
  });

  test('an order that is cancelled before its charge fails is not cancelled again', () => {
    expect(transition('cancelling', 'failed')).toEqual({ to: 'failed', order: 'none' });
  });

  test('a payment is open exactly while the provider has something to tell or to do', () => {
    expect(paymentStatuses.filter(isOpen)).toEqual(['pending', 'cancelling', 'refunding']);
  });
});
