import { fileURLToPath } from 'node:url';
import type { ConsulClient } from '@strangler/platform/consul/client.ts';
import { epochHeader } from '@strangler/platform/contracts/headers.ts';
import { createBalancedGrpcClient } from '@strangler/platform/grpc/balanced-client.ts';
import type { GrpcClientTrust } from '@strangler/platform/grpc/client.ts';
import { GrpcCallError } from '@strangler/platform/grpc/errors.ts';
import { discoveredGrpcInstances, fixedGrpcInstances } from '@strangler/platform/grpc/instances.ts';
import { Problem } from '@strangler/platform/http/problem.ts';
import type { Log } from '@strangler/platform/log.ts';
import { asStaleEpochAnswer, wasFenced } from '@strangler/platform/ownership/grpc-writes.ts';
import type { Shortage, StockLine } from '../inventory.ts';

/** What a reservation is after a call. */
export type ReservationState = 'RESERVED' | 'CONFIRMED' | 'RELEASED' | 'EXPIRED' | 'RETURNED';

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
  /** Without an order nothing is written but the reservation, whoever owns the stock. */
  confirm(id: string, order: { id: number; epoch: number } | undefined): Promise<ReservationState>;
  release(id: string, epoch: number): Promise<ReservationState>;
  giveBack(
    request: GiveBackRequest,
    /** Undefined: to know whether it was done before; behind the service's closed fence nothing is done. */
    epoch: number | undefined,
  ): Promise<ReservationState>;
  close(): Promise<void>;
};

/** The service did not answer, or cannot just now: 503. What was asked for may have been done. */
export class StockAway extends Problem {
  /** The service did answer: what was asked for was not done, and cannot be done there now. */
  readonly isFenced: boolean;

  constructor(cause: GrpcCallError) {
    const detail = 'The inventory cannot be reached just now; try again.';
    super({ status: 503, detail, headers: { 'retry-after': '1' }, cause });
    this.name = 'StockAway';
    this.isFenced = wasFenced(cause);
  }
}

/** Longer than the service lets a write wait before its fence. */
const ANSWER_TIMEOUT_MS = 10_000;

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

  const call = async (method: string, request: object, epoch: number | undefined): Promise<WireAnswer> => {
    const metadata: Record<string, string> = epoch === undefined ? {} : { [epochHeader]: `${epoch}` };
    try {
      return await client.call<WireAnswer>(method, request, { idempotent: true, metadata });
    } catch (error) {
      if (!(error instanceof GrpcCallError)) throw error;
      const told = epoch === undefined ? error : asStaleEpochAnswer(epoch, error);
      if (told !== error) throw told;
      const passing = ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'RESOURCE_EXHAUSTED', 'ABORTED'];
      throw passing.includes(error.statusName) ? new StockAway(error) : error;
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
    confirm: async (id, order) => {
      const request = { reservation_id: id, ...(order === undefined ? {} : { order_id: order.id }) };
      return stateOf(await call('Confirm', request, order?.epoch));
    },
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
    async close() {
      client.close();
      await instances.stop();
    },
  };
}

function wire(lines: StockLine[]): { product_id: number; quantity: number }[] {
  return lines.map(({ productId, quantity }) => ({ product_id: productId, quantity }));
}
