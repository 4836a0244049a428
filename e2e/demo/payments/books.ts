import type { Pool, RowDataPacket } from 'mysql2/promise';
import { request } from 'undici';

/** A charge as the provider's own books have it. */
export type BookedCharge = { reference: string; status: string; amountCents: number; refundedCents: number };
export type PaymentRow = { orderId: number; reference: string; status: string; amountCents: number };
export type OrderRow = { id: number; status: string; totalCents: number };

export type Books = {
  charges: readonly BookedCharge[];
  payments: readonly PaymentRow[];
  orders: readonly OrderRow[];
};

export type BookFault = { what: string; orderId: number | null; expected: string; found: string };

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

/** The money at the provider: taken, given back, and what confirmed orders come to. */
export const totalsOf = ({ charges, orders }: Books) => {
  const taken = charges.filter(({ status }) => status === 'succeeded');
  return {
    takenCents: sum(taken.map(({ amountCents }) => amountCents)),
    refundedCents: sum(taken.map(({ refundedCents }) => refundedCents)),
    confirmedCents: sum(orders.filter(({ status }) => isConfirmed(status)).map(({ totalCents }) => totalCents)),
  };
};

const isConfirmed = (status: string): boolean => status === 'paid' || status === 'shipped';

/**
 * Compares the provider's books with payments and orders, at rest: every cent that was taken is a confirmed order's or was given
 * back, every order knows what became of its money, and every payment is an order's.
 */
export const bookFaults = (books: Books): BookFault[] => {
  const { charges, payments, orders } = books;
  const faults: BookFault[] = [];
  const fault = (what: string, orderId: number | null, expected: string, found: string): void => {
    faults.push({ what, orderId, expected, found });
  };
  const paymentOf = new Map(payments.map((payment) => [payment.orderId, payment]));
  const orderOf = new Map(orders.map((order) => [order.id, order]));
  const byReference = Map.groupBy(charges, ({ reference }) => reference);

  for (const { id, status, totalCents } of orders) {
    const payment = paymentOf.get(id);
    const wanted = isConfirmed(status) ? ['settled'] : ['failed', 'refunded', 'none'];
    if (status === 'awaiting_payment') fault('order without an outcome', id, 'paid or cancelled', status);
    else if (!wanted.includes(payment?.status ?? 'none'))
      fault(`payment of a ${status} order`, id, wanted.join(' or '), payment?.status ?? 'none');
    if (payment !== undefined && payment.amountCents !== totalCents)
      fault('amount of a payment', id, `${totalCents}`, `${payment.amountCents}`);
  }
  for (const { orderId, reference, status, amountCents } of payments) {
    if (!orderOf.has(orderId)) fault('payment without an order', orderId, 'an order', 'none');
    const taken = (byReference.get(reference) ?? []).filter((charge) => charge.status === 'succeeded');
    const net = sum(taken.map((charge) => charge.amountCents - charge.refundedCents));
    if (taken.length > 1) fault('charged more than once', orderId, 'one charge', `${taken.length}`);
    const expected = status === 'settled' ? amountCents : 0;
    if (net !== expected) fault(`money of a ${status} payment`, orderId, `${expected}`, `${net}`);
  }
  const known = new Set(payments.map(({ reference }) => reference));
  for (const { reference, status } of charges)
    if (status === 'succeeded' && !known.has(reference))
      fault('charge without a payment', null, 'a payment', reference);
  const { takenCents, refundedCents, confirmedCents } = totalsOf(books);
  if (takenCents !== confirmedCents + refundedCents)
    fault('all money', null, `${confirmedCents} of orders and ${refundedCents} given back`, `${takenCents} taken`);
  return faults;
};

/** Reads all three: the provider's by its own account, the others with SQL, beside every program. */
export const readBooks = async (
  { providerUrl, owner, monolith }: { providerUrl: string; owner: Pool; monolith: Pool },
  accountIds: readonly number[],
): Promise<Books> => {
  const rows = async <T>(pool: Pool, sql: string): Promise<T[]> => {
    const [found] = await pool.query<RowDataPacket[]>(sql, [accountIds]);
    return found as T[];
  };
  const answer = await request(`${providerUrl}/control/charges`);
  const { items } = (await answer.body.json()) as {
    items: { reference: string; status: string; amount_cents: number; refunded_cents: number }[];
  };
  const payments = await rows<PaymentRow>(
    owner,
    'SELECT order_id AS orderId, reference, status, amount_cents AS amountCents FROM payments WHERE account_id IN (?)',
  );
  return {
    charges: items.map(({ reference, status, amount_cents, refunded_cents }) => ({
      ...{ reference, status },
      amountCents: amount_cents,
      refundedCents: refunded_cents,
    })),
    payments,
    orders: await rows<OrderRow>(
      monolith,
      'SELECT id, status, total_cents AS totalCents FROM orders WHERE account_id IN (?)',
    ),
  };
};
