import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import type { NotificationKind as ShopKind } from '@strangler/monolith/modules/notifications/models.ts';
import { wordingOf as shopWording } from '@strangler/monolith/modules/notifications/wording.ts';
import { notificationKinds, wordingOf } from '@strangler/notifications/notifications/wording.ts';
import { shopEvents as events } from '@strangler/notifications/testing/shop-events.ts';
import fc from 'fast-check';

const schemas = new URL('../../monolith/events/schemas/', import.meta.url);

describe('the notifications service and the shop', () => {
  test('word everything alike, to the letter', () => {
    const happening = fc.record({
      kind: fc.constantFrom(...notificationKinds),
      accountId: fc.integer({ min: 1 }),
      orderId: fc.integer({ min: 1 }),
      amountCents: fc.nat(),
      currency: fc.constantFrom('EUR', 'USD', 'JPY'),
    });
    fc.assert(
      fc.property(happening, (one) => {
        expect(wordingOf(one)).toEqual(shopWording({ ...one, kind: one.kind satisfies ShopKind }));
      }),
    );
  });

  test('mean the same events: those that the service is tested with have the members that the schemas ask for', () => {
    const required = new Map(
      readdirSync(schemas)
        .filter((name) => name.endsWith('.v1.json'))
        .map((name) => {
          const schema = JSON.parse(readFileSync(new URL(name, schemas), 'utf8')) as { required: string[] };
          return [name.replace('.v1.json', ''), [...schema.required].sort()] as const;
        }),
    );
    const all = [
      events.placed(42, 7),
      ...(['shipped', 'cancelled'] as const).map((what) => events.order(what, 42, 7)),
      ...(['settled', 'failed', 'refunded'] as const).map((what) => events.payment(what, 42, 7)),
      events.registered(7),
      events.renamed(7, 'New'),
    ];
    for (const { type, data } of all) {
      expect({ type, members: Object.keys(data).sort() }).toEqual({ type, members: required.get(type) });
    }
  });
});
