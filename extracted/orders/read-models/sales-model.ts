import { z } from 'zod';

/** What the model keeps of an order: what of it was counted, and under which day. */
export type Counted = { day: string; state: 'placed' | 'cancelled' };

const told = z.object({
  order_id: z.int().min(1),
  account_id: z.int().min(1),
  total_cents: z.int().min(0),
  currency: z.string().length(3),
  occurred_at: z.iso.datetime(),
  items: z.array(z.object({ product_id: z.int().min(1), unit_price_cents: z.int().min(0), quantity: z.int().min(1) })),
});
const message = z.discriminatedUnion('type', [
  z.object({ type: z.literal('order.placed'), data: told }),
  z.object({ type: z.literal('order.cancelled'), data: told }),
]);

export type SalesEvent = z.infer<typeof message>;

/** The routing keys of what the model is made of. */
export const salesKeys: ReadonlySet<string> = new Set(['shop.order.placed', 'shop.order.cancelled']);

/** Reads a message's body; undefined where it is no event of an order. */
export function readSalesEvent(body: Buffer): SalesEvent | undefined {
  try {
    return message.safeParse(JSON.parse(body.toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

/** What an event adds to the sums; undefined where it was heard before. */
export type Change = {
  counted: Counted;
  accountId: number;
  currency: string;
  placed: 0 | 1;
  cancelled: 0 | 1;
  totalCents: number;
  products: { productId: number; quantity: number; totalCents: number }[];
};

/** An order counts on the day on which it was placed, and not at all once it is cancelled. Events may come again. */
export function changeOf(known: Counted | undefined, { type, data }: SalesEvent): Change | undefined {
  const { account_id: accountId, currency, total_cents, items, occurred_at } = data;
  const day = known?.day ?? occurred_at.slice(0, 10);
  const products = (sign: 1 | -1) =>
    items.map(({ product_id: productId, quantity, unit_price_cents }) => ({
      ...{ productId, quantity: sign * quantity, totalCents: sign * quantity * unit_price_cents },
    }));
  if (type === 'order.placed') {
    if (known !== undefined) return undefined;
    const counted = { day, state: 'placed' } as const;
    return { counted, accountId, currency, placed: 1, cancelled: 0, totalCents: total_cents, products: products(1) };
  }
  if (known?.state === 'cancelled') return undefined;
  const counted = { day, state: 'cancelled' } as const;
  // One whose beginning the stream has forgotten was never counted.
  if (known === undefined)
    return { counted, accountId, currency, placed: 0, cancelled: 1, totalCents: 0, products: [] };
  return { counted, accountId, currency, placed: 0, cancelled: 1, totalCents: -total_cents, products: products(-1) };
}
