import type { TestEvent } from './notifications.ts';

const occurred_at = '2026-01-02T03:04:05.678Z';

/** Events as the shop tells them. */
export const shopEvents = {
  registered: (accountId: number, more: Partial<TestEvent> = {}): TestEvent => ({
    type: 'account.registered',
    data: {
      account_id: accountId,
      email: `customer-${accountId}@example.com`,
      display_name: `Customer ${accountId}`,
      role: 'customer',
      occurred_at,
    },
    ...more,
  }),
  renamed: (accountId: number, display_name: string, more: Partial<TestEvent> = {}): TestEvent => ({
    type: 'account.renamed',
    data: { account_id: accountId, display_name, occurred_at: '2026-01-03T00:00:00.000Z' },
    ...more,
  }),
  placed: (orderId: number, accountId: number, more: Partial<TestEvent> = {}): TestEvent => ({
    type: 'order.placed',
    data: {
      ...{ order_id: orderId, account_id: accountId, total_cents: 1_234, currency: 'EUR', occurred_at },
      items: [{ product_id: 1, name: 'A thing', unit_price_cents: 617, quantity: 2 }],
    },
    ...more,
  }),
  order: (
    what: 'shipped' | 'cancelled',
    orderId: number,
    accountId: number,
    more: Partial<TestEvent> = {},
  ): TestEvent => ({
    type: `order.${what}`,
    data: {
      ...{ order_id: orderId, account_id: accountId, total_cents: 1_234, currency: 'EUR', occurred_at },
      ...(what === 'cancelled' ? { items: [], reason: 'customer' } : {}),
    },
    ...more,
  }),
  payment: (
    what: 'settled' | 'failed' | 'refunded',
    orderId: number,
    accountId: number,
    more: Partial<TestEvent> = {},
  ): TestEvent => ({
    type: `payment.${what}`,
    data: {
      ...{ payment_id: orderId, order_id: orderId, account_id: accountId, amount_cents: 1_234, currency: 'EUR' },
      ...(what === 'failed' ? { failure_code: 'card_declined' } : {}),
      occurred_at,
    },
    ...more,
  }),
};

/** The mark by which the shop leaves an event to this service. */
export const leftToService = 'service/3';
