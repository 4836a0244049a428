import type { Executor } from '@strangler/platform/mysql/statements.ts';
import type { Clock } from '../clock.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import type { Fenced } from '../fenced.ts';
import type { StockLedger } from '../stock/stock-ledger.ts';
import { type Shortage, type StockLine, sameLines, shortagesOf } from '../stock/take.ts';
import type { Transactions } from '../transactions.ts';
import { throughFence } from './refused-outcome.ts';
import { toldOf } from './reservation-events.ts';
import { type ReservationEvent, transition } from './reservation-state.ts';
import {
  bindOrder,
  insertLines,
  insertReservation,
  lockReservation,
  type Reservation,
  updateState,
} from './reservation-store.ts';

/** What became of a request. Only `reservation` has changed anything, or has found it done already. */
export type ReservationOutcome =
  /** As it is now: its state says whether it is as was asked. */
  | { kind: 'reservation'; reservation: Reservation }
  /** Every line that is short; nothing was kept, and nothing is remembered. */
  | { kind: 'short'; shortages: Shortage[] }
  | { kind: 'unknown' }
  /** To surrender it is for those who have the tables, and that is this service. */
  | { kind: 'owned here' }
  /** There is a reservation of this id, or of this order, and it is of other lines. */
  | { kind: 'other lines' }
  /** It is bound to another order, or the order has another reservation. */
  | { kind: 'other order' }
  /** What is to be given back was never in stock here. */
  | { kind: 'never in stock'; productIds: number[] };

export type ReserveRequest = {
  id: string;
  lines: StockLine[];
  ttlMs: number;
  accountId: number | null;
  orderId: number | null;
};

export type GiveBackRequest = {
  orderId: number;
  /** Undefined: the reservation of that order, and where there is none the order was sold without one. */
  reservationId: string | undefined;
  lines: StockLine[];
  accountId: number | null;
};

/**
 * Holds stock for those who are about to sell it. Every call may be repeated: a reservation is known by its id, and what was
 * done is not done again. `signal`: nobody waits any longer, and what was not committed is undone.
 */
export type ReservationService = {
  reserve(request: ReserveRequest, signal?: AbortSignal): Promise<ReservationOutcome>;
  confirm(request: { id: string; orderId: number | null }, signal?: AbortSignal): Promise<ReservationOutcome>;
  /** One that there is not is remembered as released: a call to make it that comes later makes nothing. */
  release(request: { id: string; reason: string }, signal?: AbortSignal): Promise<ReservationOutcome>;
  /** Puts back what a cancelled order has taken. */
  giveBack(request: GiveBackRequest, signal?: AbortSignal): Promise<ReservationOutcome>;
  /**
   * Puts back whatever a cancelled order has, held or sold, in the caller's transaction. A reservation that there is not, or never was,
   * is remembered as released. Whoever calls it asks the fence.
   */
  undo(request: GiveBackRequest, transaction: Executor): Promise<ReservationOutcome>;
  /**
   * Leaves what a reservation took to its caller, who has the tables now: it will never be put back here unless the caller asks for that.
   * No stock moves, so no fence is asked. Fails where the stock is this service's.
   */
  surrender(by: { id: string } | { orderId: number }, signal?: AbortSignal): Promise<ReservationOutcome>;
  /** Expires one whose time is over; one that is early, settled or unknown stays as it is. */
  expire(id: string, signal?: AbortSignal): Promise<ReservationOutcome>;
};

export type ReservationParts = {
  transactions: Transactions;
  ledger: StockLedger;
  fenced: Fenced;
  events: EventRecorder;
  clock: Clock;
  /** Whether the flags say that the tables are the shop's. */
  isTheShops(): boolean;
};

type Settling = {
  event: ReservationEvent;
  /** Of whoever puts stock back, and the order that is known by now. */
  accountId?: number | null;
  orderId?: number | null;
  /** For those who hear of a release. */
  reason?: string;
};

/** What those hear of a release who do not hear another reason. */
const cancelled = 'order_cancelled';

/** What a line of `stock_adjustments` says of stock that was taken, and put back. */
const taken = 'order placed';
const putBack = {
  released: 'reservation released',
  expired: 'reservation expired',
  returned: 'order cancelled',
} as const;

export function createReservationService(parts: ReservationParts): ReservationService {
  const { transactions, ledger, fenced, events, clock, isTheShops } = parts;
  const write = (work: (tx: Executor) => Promise<ReservationOutcome>, signal?: AbortSignal) =>
    throughFence(fenced, () => transactions.run(work, signal));

  const tell = async (reservation: Reservation, why: { reason: string; now: Date }, tx: Executor): Promise<void> => {
    const told = toldOf(reservation, why);
    if (told !== undefined) await events.record(told.type, told.data, tx);
  };

  /** Puts the lines' stock where it was, under the locks of their levels. */
  const returnStock = async (
    { lines, orderId }: Reservation,
    { reason, accountId }: { reason: string; accountId: number | null },
    tx: Executor,
  ): Promise<void> => {
    const now = clock.now();
    const levels = await ledger.lock(
      lines.map(({ productId }) => productId),
      tx,
    );
    for (const { productId, quantity } of lines) {
      const level = levels.get(productId);
      if (level === undefined)
        throw new Error(`product ${productId}: expected a stock level, for some was taken; found none`);
      await ledger.move(level, { delta: quantity, reason, accountId, orderId }, now, tx);
    }
  };

  /** What an event makes of a reservation that is locked. */
  const settle = async (found: Reservation, settling: Settling, tx: Executor): Promise<ReservationOutcome> => {
    const { event, orderId = null, reason = cancelled } = settling;
    if (orderId !== null && found.orderId !== null && orderId !== found.orderId) return { kind: 'other order' };
    const now = clock.now();
    const { state, stock } = transition(found, event, now);
    // An order is told of only where it is sold, or was: one that came too late may be sold by another reservation.
    const binds = orderId !== null && found.orderId === null && (state === 'confirmed' || state === 'returned');
    if (binds && !(await bindOrder(found, orderId, tx))) return { kind: 'other order' };
    const reservation = { ...found, state, orderId: binds ? orderId : found.orderId };
    if (state === found.state) return { kind: 'reservation', reservation };
    if (stock === 'is put back' && (state === 'released' || state === 'expired' || state === 'returned')) {
      const by = state === 'expired' ? null : (settling.accountId ?? (state === 'released' ? found.accountId : null));
      await returnStock(reservation, { reason: putBack[state], accountId: by }, tx);
    }
    await updateState(found.id, state, now, tx);
    await tell(reservation, { reason, now }, tx);
    return { kind: 'reservation', reservation };
  };

  const settleById = (id: string, settling: Settling, signal?: AbortSignal): Promise<ReservationOutcome> =>
    write(async (tx) => {
      const found = await lockReservation({ id }, tx);
      return found === undefined ? { kind: 'unknown' } : settle(found, settling, tx);
    }, signal);

  /** The same call again finds what the first one has made, unless its time is over by now. */
  const repeat = async (found: Reservation, lines: StockLine[], tx: Executor): Promise<ReservationOutcome> =>
    wasNeverMade(found) || sameLines(found.lines, lines)
      ? settle(found, { event: 'expire' }, tx)
      : { kind: 'other lines' };

  const release = async ({ id, reason }: { id: string; reason: string }, tx: Executor): Promise<ReservationOutcome> => {
    const found = await lockReservation({ id }, tx);
    if (found !== undefined) return settle(found, { event: 'release', reason }, tx);
    const now = clock.now();
    const neverMade = { id, state: 'released', accountId: null, orderId: null, expiresAt: now } as const;
    if (await insertReservation(neverMade, now, tx)) {
      return { kind: 'reservation', reservation: { ...neverMade, lines: [] } };
    }
    const meanwhile = await lockReservation({ id }, tx);
    return meanwhile === undefined ? { kind: 'unknown' } : settle(meanwhile, { event: 'release', reason }, tx);
  };

  const reserve = async (request: ReserveRequest, tx: Executor): Promise<ReservationOutcome> => {
    const { id, lines, accountId, orderId } = request;
    const before = await lockReservation({ id }, tx);
    if (before !== undefined) return repeat(before, lines, tx);
    const levels = await ledger.lock(
      lines.map(({ productId }) => productId),
      tx,
    );
    const shortages = shortagesOf(lines, new Map([...levels].map(([at, { available }]) => [at, available])));
    if (shortages.length > 0) return { kind: 'short', shortages };
    const now = clock.now();
    const made = { id, state: 'held', accountId, orderId, expiresAt: new Date(now.getTime() + request.ttlMs) } as const;
    if (!(await insertReservation(made, now, tx))) {
      const meanwhile = await lockReservation({ id }, tx);
      return meanwhile === undefined ? { kind: 'other order' } : repeat(meanwhile, lines, tx);
    }
    const reservation: Reservation = { ...made, lines: [] };
    for (const [productId, level] of levels) {
      const quantity = lines.find((line) => line.productId === productId)?.quantity ?? 0;
      const move = { delta: -quantity, reason: taken, accountId, orderId };
      const { adjustmentId } = await ledger.move(level, move, now, tx);
      reservation.lines.push({ productId, quantity, adjustmentId });
    }
    await insertLines(reservation, tx);
    await tell(reservation, { reason: '', now }, tx);
    return { kind: 'reservation', reservation };
  };

  const giveBack = async (request: GiveBackRequest, tx: Executor): Promise<ReservationOutcome> => {
    const { orderId, reservationId, lines, accountId } = request;
    const by = reservationId === undefined ? { orderId } : { id: reservationId };
    const settled = async (found: Reservation): Promise<ReservationOutcome> =>
      sameLines(found.lines, lines)
        ? settle(found, { event: 'return', orderId, accountId }, tx)
        : { kind: 'other lines' };
    const found = await lockReservation(by, tx);
    if (found !== undefined) return settled(found);
    if (reservationId !== undefined) return { kind: 'unknown' };

    const levels = await ledger.lock(
      lines.map(({ productId }) => productId),
      tx,
    );
    const missing = lines.flatMap(({ productId }) => (levels.has(productId) ? [] : [productId]));
    if (missing.length > 0) return { kind: 'never in stock', productIds: missing };
    const now = clock.now();
    const own = { id: idOfOrder(orderId), state: 'returned', accountId, orderId, expiresAt: now } as const;
    if (!(await insertReservation(own, now, tx))) {
      const meanwhile = await lockReservation(by, tx);
      return meanwhile === undefined ? { kind: 'unknown' } : settled(meanwhile);
    }
    const reservation: Reservation = { ...own, lines: lines.map((line) => ({ ...line, adjustmentId: null })) };
    await insertLines(reservation, tx);
    await returnStock(reservation, { reason: putBack.returned, accountId }, tx);
    await tell(reservation, { reason: cancelled, now }, tx);
    return { kind: 'reservation', reservation };
  };

  const undo = async (request: GiveBackRequest, tx: Executor): Promise<ReservationOutcome> => {
    const { reservationId: id } = request;
    const found = id === undefined ? undefined : await lockReservation({ id }, tx);
    const isMade = found !== undefined && !wasNeverMade(found);
    return id === undefined || isMade ? giveBack(request, tx) : release({ id, reason: cancelled }, tx);
  };

  return {
    undo,
    reserve: (request, signal) => write((tx) => reserve(request, tx), signal),
    confirm: ({ id, orderId }, signal) => settleById(id, { event: 'confirm', orderId }, signal),
    release: (request, signal) => write((tx) => release(request, tx), signal),
    giveBack: (request, signal) => write((tx) => giveBack(request, tx), signal),
    expire: (id, signal) => settleById(id, { event: 'expire' }, signal),
    surrender: async (by, signal) => {
      if (!isTheShops()) return { kind: 'owned here' };
      return transactions.run(async (tx) => {
        const found = await lockReservation(by, tx);
        return found === undefined ? { kind: 'unknown' } : settle(found, { event: 'surrender' }, tx);
      }, signal);
    },
  };
}

/** Only what was given up before it was there has no lines. */
function wasNeverMade({ lines }: Reservation): boolean {
  return lines.length === 0;
}

/** Of an order that was sold before there were reservations. The colon keeps it apart from every id that a caller may choose. */
export function idOfOrder(orderId: number): string {
  return `order:${orderId}`;
}
