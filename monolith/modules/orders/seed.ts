import { createHash } from 'node:crypto';
import { createRandom } from '../../seed/random.ts';
import { SEED_END_MS, type SeedPlan, type SeedTable } from '../../seed/seed-table.ts';
import { sqlTime } from '../../sql-time.ts';
import { type SeededProduct, seededProduct } from '../catalogue/seed.ts';

const MAX_LINES = 4;
const HOUR_MS = 3_600_000;

/** Orders of the past, each with its payment: shipped, or cancelled in one of two ways. None waits for anything. */
export function ordersTables(): SeedTable[] {
  return [orders, orderItems, payments];
}

/** An order as other modules' seeds need it. */
export type OrderDraft = {
  id: number;
  accountId: number;
  lines: { product: SeededProduct; quantity: number }[];
  totalCents: number;
  status: 'shipped' | 'cancelled';
  cancelReason: 'customer' | 'payment_failed' | null;
  paymentStatus: 'settled' | 'refunded' | 'failed';
  createdMs: number;
  endedMs: number;
};

const orders: SeedTable = {
  table: 'orders',
  columns: [
    'id',
    'account_id',
    'status',
    'total_cents',
    'currency',
    'cancel_reason',
    'version',
    'created_at',
    'updated_at',
  ],
  rowCount: orderCount,
  *rows(plan) {
    for (const order of seededOrders(plan)) {
      const version = order.cancelReason === 'payment_failed' ? 2 : 3;
      const times = [sqlTime(order.createdMs), sqlTime(order.endedMs)];
      yield [order.id, order.accountId, order.status, order.totalCents, 'EUR', order.cancelReason, version, ...times];
    }
  },
};

const orderItems: SeedTable = {
  table: 'order_items',
  columns: ['order_id', 'product_id', 'name', 'unit_price_cents', 'quantity'],
  rowCount(plan) {
    let total = 0;
    for (const order of seededOrders(plan)) total += order.lines.length;
    return total;
  },
  *rows(plan) {
    for (const order of seededOrders(plan)) {
      for (const { product, quantity } of order.lines) {
        yield [order.id, product.id, product.name, product.priceCents, quantity];
      }
    }
  },
};

const payments: SeedTable = {
  table: 'payments',
  columns: [
    'id',
    'order_id',
    'account_id',
    'reference',
    'provider_charge_id',
    'amount_cents',
    'currency',
    'status',
    'failure_code',
    'check_at',
    'checks',
    'created_at',
    'updated_at',
  ],
  rowCount: orderCount,
  *rows(plan) {
    for (const order of seededOrders(plan)) {
      const digest = createHash('sha256').update(`payment ${plan.seed} ${order.id}`).digest('hex');
      yield [
        order.id,
        order.id,
        order.accountId,
        `pay_${digest.slice(0, 32)}`,
        `ch_${digest.slice(32, 56)}`,
        order.totalCents,
        'EUR',
        order.paymentStatus,
        order.paymentStatus === 'failed' ? 'card_declined' : null,
        null,
        0,
        sqlTime(order.createdMs),
        sqlTime(order.endedMs),
      ];
    }
  },
};

function orderCount({ size }: SeedPlan): number {
  return Math.ceil(size / 4);
}

/** Every seeded order, by id. */
export function* seededOrders(plan: SeedPlan): Iterable<OrderDraft> {
  const count = orderCount(plan);
  for (let id = 1; id <= count; id++) yield orderDraft(plan, id);
}

function orderDraft(plan: SeedPlan, id: number): OrderDraft {
  const random = createRandom(plan.seed, 'order', id);
  const accountId = random.integer(2, plan.accounts);
  const chosen = new Set<number>();
  for (let line = random.integer(1, MAX_LINES); line > 0; line--) chosen.add(random.integer(1, plan.size));
  const lines = [...chosen]
    .sort((a, b) => a - b)
    .map((productId) => ({ product: seededProduct(plan, productId), quantity: random.integer(1, 3) }));
  const soldSinceMs = Math.max(...lines.map(({ product }) => product.createdMs));
  const createdMs = soldSinceMs + Math.floor(random.next() * (SEED_END_MS - 200 * HOUR_MS - soldSinceMs));
  const fate = random.next();
  const [status, cancelReason, paymentStatus] =
    fate < 0.9
      ? (['shipped', null, 'settled'] as const)
      : fate < 0.96
        ? (['cancelled', 'customer', 'refunded'] as const)
        : (['cancelled', 'payment_failed', 'failed'] as const);
  return {
    id,
    accountId,
    lines,
    totalCents: lines.reduce((sum, { product, quantity }) => sum + product.priceCents * quantity, 0),
    status,
    cancelReason,
    paymentStatus,
    createdMs,
    endedMs: createdMs + random.integer(1, 200 * HOUR_MS),
  };
}
