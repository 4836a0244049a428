import { createHash, createHmac } from 'node:crypto';
import type { Side } from '@strangler/migrations/http/side.ts';
import type { ApiOperation } from '@strangler/migrations/openapi/operation.ts';
import { migrateUp } from '@strangler/payments/database.ts';
import type { Pool, RowDataPacket } from 'mysql2/promise';
import { PINNED_TIME } from '../start-processes.ts';
import { startCopiedPair } from './copied-pair.ts';
import type { SlicePair } from './slice-pair.ts';

const secret = 'a-secret-of-both-sides';
const webhooks = '/api/payments/webhooks';

/** Nobody listens there: what either side would ask the provider behind an answer stays unanswered. */
const nowhere = 'http://127.0.0.1:9';
const statuses = ['pending', 'settled', 'failed', 'cancelling', 'refunding', 'refunded'];

/**
 * The payments at the shop and at their service: read, and decided by webhooks. Payments are in every state that there is, and
 * webhooks speak of them in every way; each is signed on its way, mostly well.
 */
export function startPaymentsPair(label: string): Promise<SlicePair> {
  const quiet = { PAYMENT_PROVIDER_URL: nowhere, PAYMENT_WEBHOOK_SECRET: secret };
  return startCopiedPair(label, {
    slice: 'payments',
    migrateUp,
    prepare: prepareStates,
    env: {
      shop: { ...quiet, PAYMENT_RECONCILE_EVERY: '1h' },
      service: { ...quiet, RECONCILE_EVERY: '1h', PARK_FIRST: '1h' },
    },
    tables: {
      shop: [
        ...['payments', 'payment_events', 'orders', 'order_items', 'notifications', 'notification_mailboxes'],
        ...['stock_levels', 'stock_adjustments', 'stock_errands', 'payment_errands'],
      ],
      service: ['payments', 'payment_events', 'payment_history', 'refunds', 'parked_webhooks'],
    },
    spoiled: "UPDATE payments SET failure_code = 'else' LIMIT 1",
    async known(shop) {
      return { '/api/payments': (await somePayments(shop)).map(({ id }) => id) };
    },
    operations: async (described, shop) => {
      const charges = (await somePayments(shop)).flatMap(chargesOf);
      return described.map((operation) =>
        operation.path === webhooks ? withCharges(operation, [...charges, chargeOf('pay_nobody', 1)]) : operation,
      );
    },
    // What it cannot read it keeps, once, and a person can have it tried again; the shop forgets it.
    isMeant: ({ path, kind, service }) =>
      path === 'row payment_events' && kind === 'extra' && Array.isArray(service) && service.includes('refused'),
    // Money that is owed is asked to go back behind the answer.
    behindMs: 3_000,
    towards: signing,
  });
}

type Payment = { id: number; reference: string; amount_cents: number; currency: string };

async function prepareStates(shop: Pool): Promise<void> {
  const [rows] = await shop.query<RowDataPacket[]>('SELECT id, order_id FROM payments ORDER BY id');
  for (const [at, { id, order_id }] of rows.entries()) {
    const status = statuses[at % statuses.length]!;
    const isOpen = ['pending', 'cancelling', 'refunding'].includes(status);
    await shop.query(
      `UPDATE payments SET status = ?, check_at = ?, checks = 0, failure_code = ?,
         provider_charge_id = ? WHERE id = ?`,
      [
        status,
        isOpen ? new Date(Date.parse(PINNED_TIME) + 3_600_000) : null,
        status === 'failed' ? 'card_declined' : null,
        ['pending', 'cancelling'].includes(status) ? null : `ch_${id}`,
        id,
      ],
    );
    const order = { pending: 'awaiting_payment', settled: 'paid' }[status] ?? 'cancelled';
    await shop.query('UPDATE orders SET status = ? WHERE id = ?', [order, order_id]);
  }
}

async function somePayments(shop: Pool): Promise<Payment[]> {
  const sql = 'SELECT id, reference, amount_cents, currency FROM payments ORDER BY id LIMIT 18';
  const [rows] = await shop.query<RowDataPacket[]>(sql);
  return rows.map(({ id, reference, amount_cents, currency }) => ({
    ...{ id: Number(id), reference: String(reference), amount_cents: Number(amount_cents), currency: String(currency) },
  }));
}

const chargeOf = (reference: string, amount_cents: number, more: Record<string, unknown> = {}) => ({
  ...{ id: `ch_of_${reference}`.slice(0, 40), status: 'succeeded', amount_cents, currency: 'EUR', reference },
  ...{ failure_code: null, refunded_cents: 0 },
  ...more,
});

/** What the provider can say of a payment, and what it should not. */
const chargesOf = ({ reference, amount_cents: amount, currency }: Payment) => [
  chargeOf(reference, amount, { currency }),
  chargeOf(reference, amount, { currency, status: 'failed', failure_code: 'card_declined' }),
  chargeOf(reference, amount, { currency, refunded_cents: amount }),
  chargeOf(reference, amount, { currency, status: 'pending' }),
  chargeOf(reference, amount, { currency, refunded_cents: 1 }),
  chargeOf(reference, amount + 1, { currency }),
  chargeOf(reference, amount, { currency: currency === 'EUR' ? 'USD' : 'EUR' }),
];

/** A description leaves open what a charge is; a fuzzer that knew no more would never speak of a payment. */
function withCharges(operation: ApiOperation, charges: readonly object[]): ApiOperation {
  const data = { enum: charges.map((charge) => ({ charge })) };
  return {
    ...operation,
    // Whoever calls is known by the signature.
    parameters: operation.parameters.filter(({ in: where }) => where !== 'header'),
    bodies: operation.bodies.map((body) => ({
      ...body,
      schema: {
        ...body.schema,
        properties: {
          ...body.schema.properties,
          id: { type: 'string', enum: Array.from({ length: 30 }, (_, n) => `evt_${n}`) },
          type: { type: 'string', enum: ['charge.succeeded', 'charge.failed', 'charge.refunded', 'else'] },
          data,
        },
      },
    })),
  };
}

/** Signs webhooks: one in ten in a way that is not good, by what it says, so that both sides get the same. */
function signing(side: Side): Side {
  const nowSeconds = Math.floor(Date.parse(PINNED_TIME) / 1000);
  const signature = (body: string, atSeconds = nowSeconds) =>
    `t=${atSeconds},v1=${createHmac('sha256', secret).update(`${atSeconds}.${body}`).digest('hex')}`;
  return {
    ...side,
    send(request) {
      if (request.path !== webhooks) return side.send(request);
      const body = request.body ?? '';
      const chance = createHash('sha256').update(body).digest()[0]! % 40;
      const bad = [signature(`${body} `), signature(body, nowSeconds - 3_600), 'v1=0', `t=x,${signature(body)}`][
        chance
      ];
      const headers = { ...request.headers, 'provider-signature': bad ?? signature(body) };
      return side.send({ ...request, headers });
    },
  };
}
