import { fileURLToPath } from 'node:url';
import type { BalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
import { createBalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
import type { GrpcClientTrust } from '@strangler/platform/grpc/client.ts';
import { GrpcCallError } from '@strangler/platform/grpc/errors.ts';
import type { GrpcInstances } from '@strangler/platform/grpc/instances.ts';
import type { Shortage } from '../saga/saga-state.ts';
import { NoAnswer } from './no-answer.ts';

export type StockLine = { productId: number; quantity: number };

/** What a reservation is after a call. `unknown`: there is none of this name. */
export type ReservationState =
  | 'RESERVED'
  | 'CONFIRMED'
  | 'RELEASED'
  | 'EXPIRED'
  | 'RETURNED'
  | 'SURRENDERED'
  | 'unknown';

/** The inventory. Every call may be repeated; each throws NoAnswer where it could not say. */
export type Stock = {
  reserve(request: {
    id: string;
    lines: StockLine[];
    ttlMs: number;
    accountId: number;
  }): Promise<
    { kind: 'short'; shortages: Shortage[] } | { kind: 'reservation'; state: ReservationState; untilMs: number }
  >;
  confirm(request: { id: string; orderId: number }): Promise<ReservationState>;
  release(request: { id: string; reason: string }): Promise<ReservationState>;
  giveBack(request: {
    orderId: number;
    lines: StockLine[];
    reservationId: string | undefined;
    accountId: number | null;
  }): Promise<ReservationState>;
  close(): void;
};

type WireAnswer = {
  outcome: Exclude<ReservationState, 'unknown'> | 'SHORT';
  expires_at: string;
  shortages: { product_id: number; wanted: number; available: number }[];
};

export function createStock({
  instances,
  timeoutMs,
  trust,
}: {
  instances: GrpcInstances;
  timeoutMs: number;
  trust: GrpcClientTrust;
}): Stock {
  const client: BalancedGrpcClient = createBalancedGrpcClient({
    instances,
    protoPath: fileURLToPath(new URL('../proto/inventory/v1/inventory.proto', import.meta.url)),
    packageName: 'inventory.v1',
    serviceName: 'Inventory',
    deadlineMs: timeoutMs,
    trust,
  });

  const call = async (method: string, request: object): Promise<WireAnswer | undefined> => {
    try {
      return await client.call<WireAnswer>(method, request, { idempotent: true });
    } catch (error) {
      if (error instanceof GrpcCallError && error.statusName === 'NOT_FOUND') return undefined;
      throw new NoAnswer(`inventory ${method}`, error);
    }
  };
  const stateOf = (answer: WireAnswer | undefined): ReservationState => {
    if (answer === undefined) return 'unknown';
    if (answer.outcome === 'SHORT') throw new Error('the inventory answered SHORT where nothing was reserved');
    return answer.outcome;
  };

  return {
    async reserve({ id, lines, ttlMs, accountId }) {
      const request = { reservation_id: id, lines: wire(lines), ttl_ms: ttlMs, cause: { account_id: accountId } };
      const answer = await call('Reserve', request);
      if (answer?.outcome === 'SHORT') {
        const shortages = answer.shortages.map(({ product_id, wanted, available }) => {
          return { productId: product_id, wanted, left: available };
        });
        return { kind: 'short', shortages };
      }
      return { kind: 'reservation', state: stateOf(answer), untilMs: Date.parse(answer?.expires_at ?? '') };
    },
    confirm: async ({ id, orderId }) => stateOf(await call('Confirm', { reservation_id: id, order_id: orderId })),
    release: async ({ id, reason }) => stateOf(await call('Release', { reservation_id: id, reason })),
    giveBack: async ({ orderId, lines, reservationId, accountId }) => {
      const request = {
        ...{ order_id: orderId, lines: wire(lines) },
        ...(reservationId === undefined ? {} : { reservation_id: reservationId }),
        ...(accountId === null ? {} : { account_id: accountId }),
      };
      return stateOf(await call('GiveBack', request));
    },
    close: () => client.close(),
  };
}

function wire(lines: StockLine[]): { product_id: number; quantity: number }[] {
  return lines.map(({ productId, quantity }) => ({ product_id: productId, quantity }));
}
