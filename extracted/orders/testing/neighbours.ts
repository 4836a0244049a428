import { fileURLToPath } from 'node:url';
import { GrpcError } from '@strangler/platform/grpc/errors.ts';
import { startGrpcServer } from '@strangler/platform/grpc/server.ts';
import { createLog } from '@strangler/platform/log.ts';

type Line = { product_id: number; quantity: number };
type Reservation = { state: 'RESERVED' | 'CONFIRMED' | 'RELEASED' | 'RETURNED'; lines: Line[] };
type Payment = Record<string, unknown> & { status: string };

/** The inventory and the payments as far as the orders speak with them, in memory. The real ones stand in `e2e`. */
export type Neighbours = {
  inventory: string;
  payments: string;
  /** What is left of a product; 100 unless it was sold. */
  left(productId: number): number;
  /** Says what became of an order's payment. */
  decide(orderId: number, status: string): void;
  paymentOf(orderId: number): Payment | undefined;
  /** Makes a payment that the orders did not ask for, as the shop did before them. */
  pay(orderId: number, amountCents: number, status: string): void;
  stop(): Promise<void>;
};

const initial = 100;

const notAsked = async (): Promise<object> => {
  throw new GrpcError('UNIMPLEMENTED', 'the orders do not ask for this');
};

export async function startNeighbours(): Promise<Neighbours> {
  const taken = new Map<number, number>();
  const reservations = new Map<string, Reservation>();
  const payments = new Map<number, Payment>();
  const left = (id: number) => initial - (taken.get(id) ?? 0);
  const move = (lines: Line[], sign: 1 | -1) => {
    for (const { product_id: id, quantity } of lines) taken.set(id, (taken.get(id) ?? 0) + sign * quantity);
  };
  const answer = ({ state, lines }: Reservation) => ({
    ...{ outcome: state, lines, expires_at: new Date(Date.now() + 1_200_000).toISOString(), shortages: [] },
  });
  const settle = (id: string, state: 'CONFIRMED' | 'RELEASED' | 'RETURNED') => {
    const known = reservations.get(id);
    if (known === undefined) throw new GrpcError('NOT_FOUND', `there is no reservation ${id}`);
    const may = known.state === 'RESERVED' || (known.state === 'CONFIRMED' && state === 'RETURNED');
    if (may) {
      if (state !== 'CONFIRMED') move(known.lines, -1);
      known.state = state === 'RETURNED' && known.state === 'RESERVED' ? 'RELEASED' : state;
    }
    return answer(known);
  };
  const inventory = {
    Reserve: async ({ reservation_id: id, lines }: { reservation_id: string; lines: Line[] }) => {
      const known = reservations.get(id);
      if (known !== undefined) return answer(known);
      const short = lines.filter(({ product_id, quantity }) => left(product_id) < quantity);
      const shortages = short.map(({ product_id, quantity }) => ({
        product_id,
        wanted: quantity,
        available: left(product_id),
      }));
      if (short.length > 0) return { outcome: 'SHORT', lines: [], expires_at: '', shortages };
      move(lines, 1);
      const made: Reservation = { state: 'RESERVED', lines };
      reservations.set(id, made);
      return answer(made);
    },
    Confirm: async ({ reservation_id: id }: { reservation_id: string }) => settle(id, 'CONFIRMED'),
    Release: async ({ reservation_id: id }: { reservation_id: string }) => settle(id, 'RELEASED'),
    GiveBack: async ({
      reservation_id: id,
      order_id,
      lines,
    }: {
      reservation_id?: string;
      order_id: number;
      lines: Line[];
    }) => {
      // An order that was sold without a reservation.
      const own = id ?? `order:${order_id}`;
      if (id === undefined && !reservations.has(own)) reservations.set(own, { state: 'CONFIRMED', lines });
      return settle(own, 'RETURNED');
    },
    // Nobody here asks for these.
    Surrender: notAsked,
    GetStock: notAsked,
    WatchStock: notAsked,
  };

  const found = (orderId: number): Payment => {
    const payment = payments.get(orderId);
    if (payment === undefined) throw new GrpcError('NOT_FOUND', `there is no payment of order ${orderId}`);
    return payment;
  };
  const change = (payment: Payment, status: string): Payment => {
    return Object.assign(payment, { status, updated_at: new Date().toISOString() });
  };
  const outcomes: Record<string, [string, string]> = {
    tok_decline: ['failed', 'card_declined'],
    tok_lost: ['pending', ''],
  };
  const paying = {
    Charge: async (request: {
      order_id: number;
      account_id: number;
      amount_cents: number;
      currency: string;
      card_token: string;
    }) => {
      const { card_token, ...about } = request;
      if (card_token === 'tok_unavailable') throw new GrpcError('UNAVAILABLE', 'the provider is away');
      const [status, failure_code] = outcomes[card_token] ?? ['settled', ''];
      const now = new Date().toISOString();
      const known = payments.get(request.order_id);
      const payment = known ?? {
        ...about,
        id: 9_000 + request.order_id,
        refunded_cents: 0,
        created_at: now,
        updated_at: now,
        status,
        failure_code,
      };
      payments.set(request.order_id, payment);
      return { payment, replayed: known !== undefined };
    },
    GetPayment: async ({ order_id }: { order_id: number }) => found(order_id),
    ListPayments: notAsked,
    Refund: notAsked,
    CancelPayment: async ({ order_id }: { order_id: number }) => {
      const payment = found(order_id);
      if (payment.status === 'settled') return change(payment, 'refunded');
      return payment.status === 'pending' ? change(payment, 'cancelling') : payment;
    },
  };

  const serve = (name: 'inventory' | 'payments', service: string, implementation: object) =>
    startGrpcServer({
      ...{ host: '127.0.0.1', port: 0, log: createLog({ name, level: 'silent' }), packageName: `${name}.v1` },
      protoPath: fileURLToPath(new URL(`../proto/${name}/v1/${name}.proto`, import.meta.url)),
      implementations: { [service]: implementation as never },
    });
  const servers = [
    await serve('inventory', 'Inventory', inventory),
    await serve('payments', 'Payments', paying),
  ] as const;
  return {
    inventory: servers[0].address,
    payments: servers[1].address,
    left,
    decide: (orderId, status) => void change(found(orderId), status),
    paymentOf: (orderId) => payments.get(orderId),
    pay: (orderId, amount_cents, status) => {
      const now = new Date().toISOString();
      const about = { id: 9_000 + orderId, order_id: orderId, account_id: 7, amount_cents, currency: 'EUR' };
      payments.set(orderId, {
        ...about,
        status,
        refunded_cents: 0,
        failure_code: '',
        created_at: now,
        updated_at: now,
      });
    },
    stop: async () => void (await Promise.all(servers.map((server) => server.drain(1_000)))),
  };
}
