import type { CancelReason, OrderEvent, OrderRow, OrderStatus, SoldLine } from './order-event.ts';

/** An order as its events have made it. `version`: of its row, one more with every change of it, as in the shop. */
export type OrderState = {
  accountId: number;
  status: OrderStatus;
  totalCents: number;
  currency: string;
  cancelReason: string | null;
  version: number;
  /** ISO 8601, UTC, with milliseconds. */
  createdAt: string;
  updatedAt: string;
  lines: readonly SoldLine[];
};

export type OrderCommand =
  | { kind: 'place'; accountId: number; currency: string; lines: readonly SoldLine[] }
  | { kind: 'pay' }
  | { kind: 'ship' }
  | { kind: 'cancel'; reason: CancelReason; cause: string; by: number | null };

/** `nothing`: it is so already. */
export type OrderDecision =
  | { kind: 'events'; events: readonly OrderEvent[] }
  | { kind: 'nothing' }
  | { kind: 'refused'; status: OrderStatus };

/** The order after an event; `undefined` before its first one. */
export function evolve(state: OrderState | undefined, event: OrderEvent): OrderState {
  switch (event.type) {
    case 'order_placed': {
      const { account_id: accountId, currency, lines, at } = event.data;
      const totalCents = lines.reduce((sum, line) => sum + line.unit_price_cents * line.quantity, 0);
      const head = { accountId, status: 'awaiting_payment', totalCents, currency, cancelReason: null } as const;
      return { ...head, version: 1, createdAt: at, updatedAt: at, lines };
    }
    case 'order_imported':
    case 'order_resynced':
      return stateOfRow(event.data.row);
    case 'order_paid':
      return moved(state, event, 'paid');
    case 'order_shipped':
      return moved(state, event, 'shipped');
    case 'order_cancelled':
      return { ...moved(state, event, 'cancelled'), cancelReason: event.data.reason };
  }
}

/** What a command makes of an order. */
export function decide(state: OrderState | undefined, command: OrderCommand, now: Date): OrderDecision {
  const at = now.toISOString();
  if (command.kind === 'place') {
    if (state !== undefined) return { kind: 'nothing' };
    const { accountId: account_id, currency, lines } = command;
    return happened({ type: 'order_placed', data: { account_id, currency, lines: [...lines], at } });
  }
  if (state === undefined) throw new Error(`an order that is not there cannot be changed: ${command.kind}`);
  const { status } = state;
  switch (command.kind) {
    case 'pay':
      if (status === 'awaiting_payment') return happened({ type: 'order_paid', data: { at } });
      return status === 'cancelled' ? { kind: 'refused', status } : { kind: 'nothing' };
    case 'ship':
      if (status === 'paid') return happened({ type: 'order_shipped', data: { at } });
      return status === 'shipped' ? { kind: 'nothing' } : { kind: 'refused', status };
    case 'cancel': {
      if (status === 'shipped') return { kind: 'refused', status };
      if (status === 'cancelled') return { kind: 'nothing' };
      const { reason, cause, by } = command;
      return happened({ type: 'order_cancelled', data: { reason, cause, by, at } });
    }
  }
}

/** Whether a row says what the events say. */
export function saysSame(state: OrderState, row: OrderRow): boolean {
  const { status, version, updatedAt, cancelReason } = state;
  return (
    row.status === status &&
    row.version === version &&
    row.updated_at === updatedAt &&
    row.cancel_reason === cancelReason
  );
}

function happened(event: OrderEvent): OrderDecision {
  return { kind: 'events', events: [event] };
}

function moved(state: OrderState | undefined, event: OrderEvent & { data: { at: string } }, status: OrderStatus) {
  if (state === undefined) throw new Error(`${event.type} is the first event of an order: expected order_placed`);
  return { ...state, status, version: state.version + 1, updatedAt: event.data.at };
}

function stateOfRow(row: OrderRow): OrderState {
  return {
    accountId: row.account_id,
    status: row.status,
    totalCents: row.total_cents,
    currency: row.currency,
    cancelReason: row.cancel_reason,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    lines: row.lines,
  };
}
