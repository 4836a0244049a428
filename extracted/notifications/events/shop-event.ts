import { markHeader } from '@strangler/platform/outbox/message.ts';
import { z } from 'zod';
import { MarkError, parseMark, type Told } from '../delivery/deliverer.ts';
import type { Happening, NotificationKind } from '../notifications/wording.ts';

/** The routing keys that are listened to: whoever tells of orders, payments and accounts, in the shop or taken out of it. */
export const eventPatterns = ['*.order.*', '*.payment.*', '*.account.*'] as const;

/** The name of the mark by which the shop says who tells the customer. */
export const deliveryMark = 'notifications';

export type SoldItem = { name: string; unitPriceCents: number; quantity: number };

/** What an event means here. */
export type Meaning =
  | { kind: 'happening'; happening: Happening; placed: { items: SoldItem[] } | undefined }
  | { kind: 'account registered'; accountId: number; email: string; displayName: string }
  | { kind: 'account renamed'; accountId: number; displayName: string }
  /** Of a type that nothing is done about. */
  | { kind: 'nothing' };

export type ShopEvent = Told & { id: string; type: string; occurredAt: Date; meaning: Meaning };

/** A message that is no event of the shop as its schemas describe it. It will not get better. */
export class ShopEventError extends Error {
  override name = 'ShopEventError';
}

const id = z.int().min(1);
const cents = z.int().min(0);
const currency = z.string().regex(/^[A-Z]{3}$/);
const occurred = { occurred_at: z.iso.datetime() };
const ofOrder = z.object({ order_id: id, account_id: id, total_cents: cents, currency, ...occurred });
const ofPayment = z.object({ order_id: id, account_id: id, amount_cents: cents, currency, ...occurred });
const item = z.object({ name: z.string(), unit_price_cents: cents, quantity: z.int().min(1) });

type OrderKind = Extract<NotificationKind, `order_${string}`>;

const aboutOrder = (kind: OrderKind) =>
  ofOrder.extend({ items: z.array(item).optional() }).transform((data) => ({
    at: data.occurred_at,
    meaning: {
      kind: 'happening' as const,
      happening: { kind, ...whose(data), amountCents: data.total_cents },
      placed:
        kind === 'order_placed'
          ? {
              items: (data.items ?? []).map(({ name, unit_price_cents: unitPriceCents, quantity }) => ({
                name,
                unitPriceCents,
                quantity,
              })),
            }
          : undefined,
    },
  }));

const aboutPayment = (kind: NotificationKind) =>
  ofPayment.transform((data) => ({
    at: data.occurred_at,
    meaning: {
      kind: 'happening' as const,
      happening: { kind, ...whose(data), amountCents: data.amount_cents },
      placed: undefined,
    },
  }));

const whose = (data: { account_id: number; order_id: number; currency: string }) => ({
  accountId: data.account_id,
  orderId: data.order_id,
  currency: data.currency,
});

const displayName = z.string().min(1).max(100);

/** By type, of each what is read of its data. Members that are not named here may be missing or more. */
const readings: Readonly<Record<string, z.ZodType<{ at: string; meaning: Meaning }>>> = {
  'order.placed': aboutOrder('order_placed'),
  'order.shipped': aboutOrder('order_shipped'),
  'order.cancelled': aboutOrder('order_cancelled'),
  'payment.settled': aboutPayment('payment_settled'),
  'payment.failed': aboutPayment('payment_failed'),
  'payment.refunded': aboutPayment('payment_refunded'),
  'account.registered': z
    .object({ account_id: id, email: z.string().min(1).max(254), display_name: displayName, ...occurred })
    .transform((data) => ({
      at: data.occurred_at,
      meaning: {
        kind: 'account registered',
        accountId: data.account_id,
        email: data.email,
        displayName: data.display_name,
      },
    })),
  'account.renamed': z.object({ account_id: id, display_name: displayName, ...occurred }).transform((data) => ({
    at: data.occurred_at,
    meaning: { kind: 'account renamed', accountId: data.account_id, displayName: data.display_name },
  })),
};

const envelope = z.object({
  id: z.string().min(1).max(64),
  type: z.string().min(1),
  data: z.record(z.string(), z.unknown()),
  version: z.object({ epoch: z.int().min(0), id: z.string().regex(/^\d{1,20}$/) }),
  at: z.string(),
});

/**
 * Reads an event out of a message.
 * @throws ShopEventError naming every fault.
 */
export function readShopEvent({
  body,
  headers,
}: {
  body: Buffer;
  headers: Readonly<Record<string, unknown>>;
}): ShopEvent {
  const whole = envelope.safeParse(parseJson(body));
  if (!whole.success) throw new ShopEventError(`expected an event, found: ${faultsOf(whole.error)}`);
  const { id, type, data, version, at } = whole.data;
  const position = { epoch: version.epoch, id: BigInt(version.id) };
  const mark = markOf(headers, type, id);
  const reading = readings[type];
  if (reading === undefined)
    return { id, type, position, mark, occurredAt: new Date(at), meaning: { kind: 'nothing' } };
  const read = reading.safeParse(data);
  if (!read.success) throw new ShopEventError(`event ${id} of type ${type}: ${faultsOf(read.error)}`);
  return { id, type, position, mark, occurredAt: new Date(read.data.at), meaning: read.data.meaning };
}

function markOf(headers: Readonly<Record<string, unknown>>, type: string, id: string) {
  try {
    return parseMark(headers[markHeader(deliveryMark)]);
  } catch (error) {
    if (error instanceof MarkError) throw new ShopEventError(`event ${id} of type ${type}: ${error.message}`);
    throw error;
  }
}

function faultsOf(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => `${path.join('.') || 'the whole'}: ${message}`).join('; ');
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
