import { fileURLToPath } from 'node:url';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { epochHeader } from '@strangler/platform/contracts/headers.ts';
import { createBalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
import type { GrpcClientTrust } from '@strangler/platform/grpc/client.ts';
import { GrpcCallError } from '@strangler/platform/grpc/errors.ts';
import { discoveredGrpcInstances, fixedGrpcInstances } from '@strangler/platform/grpc/instances.ts';
import { Problem } from '@strangler/platform/http/problem.ts';
import type { Log } from '@strangler/platform/log.ts';
import { asStaleEpochAnswer } from '@strangler/platform/ownership/grpc-writes.ts';
import type { Shortage, StockLine } from '../inventory.ts';

/** What a reservation is after a call. */
export type ReservationState = 'RESERVED' | 'CONFIRMED' | 'RELEASED' | 'EXPIRED' | 'RETURNED' | 'SURRENDERED';

export type ReserveAnswer = { kind: 'short'; shortages: Shortage[] } | { kind: ReservationState };

export type GiveBackRequest = {
  orderId: number;
  lines: StockLine[];
  reservationId: string | null;
  accountId: number | null;
};

/**
 * Speaks with the inventory service. Every call may be repeated, and is where an instance is away. `epoch`: the one that the write
 * is sent under; throws StaleEpochAnswer where it is over, and StockAway where the service could not say.
 */
export type StockClient = {
  reserve(
    request: { id: string; lines: StockLine[]; ttlMs: number; accountId: number | null },
    epoch: number,
  ): Promise<ReserveAnswer>;
  confirm(id: string, order: { id: number; epoch: number }): Promise<ReservationState>;
  /** One that there is not is released too, and never made by a call that comes later. */
  release(id: string, epoch: number): Promise<ReservationState>;
  giveBack(request: GiveBackRequest, epoch: number): Promise<ReservationState>;
  /**
   * While the stock is the shop's: SURRENDERED means that what was reserved is the shop's to sell or to put back, RELEASED, EXPIRED and
   * RETURNED that the service had put it back before, and UNKNOWN that nothing was ever taken, or put back, there.
   */
  surrender(by: { reservationId: string } | { orderId: number }, epoch: number): Promise<ReservationState | 'UNKNOWN'>;
  /** How much of each product can be sold, by id; waits half a second at most. At most 200 ids. */
  levels(productIds: readonly number[]): Promise<ReadonlyMap<number, number>>;
  close(): Promise<void>;
};

/** The service did not answer, or cannot just now: 503. What was asked for may have been done. */
export class StockAway extends Problem {
  constructor(cause: GrpcCallError) {
    const detail = 'The inventory cannot be reached just now; try again.';
    super({ status: 503, detail, headers: { 'retry-after': '1' }, cause });
    this.name = 'StockAway';
  }
}

/** Longer than the service lets a write wait before its fence. */
const ANSWER_TIMEOUT_MS = 10_000;

/** Somebody looks at a cart meanwhile. */
const LEVELS_TIMEOUT_MS = 500;

type WireAnswer = {
  outcome: ReservationState | 'SHORT';
  shortages: { product_id: number; wanted: number; available: number }[];
};

export function createStockClient({
  address,
  consul,
  trust,
  log,
}: {
  /** `host:port`, or `consul` to ask Consul for `inventory`. */
  address: string;
  consul: ConsulClient | undefined;
  /** By which the service knows who calls. */
  trust: GrpcClientTrust;
  log: Log;
}): StockClient {
  const instances =
    address === 'consul' && consul !== undefined
      ? discoveredGrpcInstances({ consul, service: 'inventory', log })
      : fixedGrpcInstances([address]);
  const client = createBalancedGrpcClient({
    instances,
    protoPath: fileURLToPath(new URL('./inventory.proto', import.meta.url)),
    packageName: 'inventory.v1',
    serviceName: 'Inventory',
    deadlineMs: ANSWER_TIMEOUT_MS,
    trust,
  });

  const call = async (method: string, request: object, epoch: number): Promise<WireAnswer> => {
    const metadata = { [epochHeader]: `${epoch}` };
    try {
      return await client.call<WireAnswer>(method, request, { idempotent: true, metadata });
    } catch (error) {
      if (!(error instanceof GrpcCallError)) throw error;
      const told = asStaleEpochAnswer(epoch, error);
      if (told !== error) throw told;
      const passing = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'RESOURCE_EXHAUSTED', 'ABORTED'];
      const isBehind = error.metadata.get('x-reason')[0] === 'owned-here';
      throw isBehind || passing.includes(error.statusName) ? new StockAway(error) : error;
    }
  };
  const stateOf = ({ outcome }: WireAnswer): ReservationState => {
    if (outcome === 'SHORT') throw new Error('the inventory answered SHORT where nothing was reserved');
    return outcome;
  };

  return {
    async reserve({ id, lines, ttlMs, accountId }, epoch) {
      const cause = accountId === null ? {} : { account_id: accountId };
      const request = { reservation_id: id, lines: wire(lines), ttl_ms: ttlMs, cause };
      const answer = await call('Reserve', request, epoch);
      if (answer.outcome !== 'SHORT') return { kind: answer.outcome };
      const shortages = answer.shortages.map(({ product_id, wanted, available }) => {
        return { productId: product_id, wanted, left: available };
      });
      return { kind: 'short', shortages };
    },
    confirm: async (id, order) =>
      stateOf(await call('Confirm', { reservation_id: id, order_id: order.id }, order.epoch)),
    release: async (id, epoch) =>
      stateOf(await call('Release', { reservation_id: id, reason: 'checkout_failed' }, epoch)),
    giveBack: async ({ orderId, lines, reservationId, accountId }, epoch) => {
      const request = {
        order_id: orderId,
        lines: wire(lines),
        ...(reservationId === null ? {} : { reservation_id: reservationId }),
        ...(accountId === null ? {} : { account_id: accountId }),
      };
      return stateOf(await call('GiveBack', request, epoch));
    },
    surrender: async (by, epoch) => {
      const request = 'orderId' in by ? { order_id: by.orderId } : { reservation_id: by.reservationId };
      try {
        return stateOf(await call('Surrender', request, epoch));
      } catch (error) {
        if (error instanceof GrpcCallError && error.statusName === 'NOT_FOUND') return 'UNKNOWN';
        throw error;
      }
    },
    async levels(productIds) {
      const { levels } = await client.call<{ levels: { product_id: number; available: number }[] }>(
        'GetStock',
        { ids: [...new Set(productIds)] },
        { idempotent: true, deadlineMs: LEVELS_TIMEOUT_MS },
      );
      return new Map(levels.map(({ product_id, available }) => [product_id, available]));
    },
    async close() {
      client.close();
      await instances.stop();
    },
  };
}

function wire(lines: StockLine[]): { product_id: number; quantity: number }[] {
  return lines.map(({ productId, quantity }) => ({ product_id: productId, quantity }));
}
