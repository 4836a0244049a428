import { z } from 'zod';

/** `awaiting_payment` → `paid` → `shipped`, or `cancelled` from either of the first two. */
export const orderStatuses = ['awaiting_payment', 'paid', 'shipped', 'cancelled'] as const;
export type OrderStatus = (typeof orderStatuses)[number];

/** Why an order was cancelled, as its customer is told. */
export const cancelReasons = ['customer', 'admin', 'payment_failed', 'out_of_stock'] as const;
export type CancelReason = (typeof cancelReasons)[number];

const id = z.int().min(1);
const cents = z.int().min(0);
const at = z.iso.datetime();

/** A line as it was sold. */
const line = z.object({ product_id: id, name: z.string(), unit_price_cents: cents, quantity: z.int().min(1) });
export type SoldLine = z.infer<typeof line>;

/** An order's row, with its lines, as the pipe brought it. */
const row = z.object({
  account_id: id,
  status: z.enum(orderStatuses),
  total_cents: cents,
  currency: z.string(),
  cancel_reason: z.string().nullable(),
  version: z.int().min(1),
  created_at: at,
  updated_at: at,
  lines: z.array(line),
});

/** What happens to an order: the newest version of each event's `data`. */
const schemas = {
  order_placed: z.object({ account_id: id, currency: z.string(), lines: z.array(line).min(1), at }),
  order_paid: z.object({ at }),
  order_shipped: z.object({ at }),
  /** `cause`: what lies behind the reason, for those who look after the system. `by`: the account that asked for it. */
  order_cancelled: z.object({ reason: z.enum(cancelReasons), cause: z.string(), by: id.nullable(), at }),
  /** The order was another system's until now. */
  order_imported: z.object({ row }),
  /** Another system has changed the order since its last event here. */
  order_resynced: z.object({ row }),
};

export type OrderRow = z.infer<typeof row>;
export type OrderEventType = keyof typeof schemas;
export type OrderEvent = { [T in OrderEventType]: { type: T; data: z.infer<(typeof schemas)[T]> } }[OrderEventType];

/** An event as it is kept. */
export type StoredEvent = { type: string; schemaVersion: number; data: unknown };

/** The schema version under which events are written now; 1 where nothing is said. */
const versions: Partial<Record<OrderEventType, number>> = { order_placed: 2 };

export function schemaVersionOf(type: OrderEventType): number {
  return versions[type] ?? 1;
}

/** `order_placed` as it was first written: `items`, prices in `price_cents`, and euros without a word of it. */
const placedV1 = z.object({
  account_id: id,
  items: z.array(z.object({ product_id: id, name: z.string(), price_cents: cents, quantity: z.int().min(1) })).min(1),
  at,
});

/** From each old version to the next one. */
const upcasters: Partial<Record<OrderEventType, Record<number, (data: unknown) => unknown>>> = {
  order_placed: {
    1: (data) => {
      const { account_id, items, at: placedAt } = placedV1.parse(data);
      const lines = items.map(({ price_cents: unit_price_cents, ...rest }) => ({ ...rest, unit_price_cents }));
      return { account_id, currency: 'EUR', lines, at: placedAt };
    },
  },
};

/** An event as it is kept, of whatever version, as one of today. Throws, naming it, where this program does not know it. */
export function upcast({ type, schemaVersion, data }: StoredEvent): OrderEvent {
  const schema = schemas[type as OrderEventType];
  if (schema === undefined) throw new Error(`order event ${type}: expected one of ${Object.keys(schemas).join(', ')}`);
  const newest = schemaVersionOf(type as OrderEventType);
  let value = data;
  for (let version = schemaVersion; version < newest; version += 1) {
    const next = upcasters[type as OrderEventType]?.[version];
    if (next === undefined) throw new Error(`order event ${type}: there is no way from version ${version}`);
    value = next(value);
  }
  if (schemaVersion > newest) {
    throw new Error(
      `order event ${type}: expected version ${newest} at most, found ${schemaVersion}; run a newer program`,
    );
  }
  return { type, data: schema.parse(value) } as OrderEvent;
}
