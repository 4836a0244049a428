import { fileURLToPath } from 'node:url';
import { GrpcError } from '@strangler/platform/grpc/errors.ts';
import { type GrpcCallContext, type RunningGrpcServer, startGrpcServer } from '@strangler/platform/grpc/server.ts';
import { isDatabaseAway } from '@strangler/platform/http/database-away.ts';
import type { Log } from '@strangler/platform/log.ts';
import { CommitOutcomeUnknown } from '@strangler/platform/mysql/transaction.ts';
import { writeUnderEpoch } from '@strangler/platform/ownership/grpc-writes.ts';
import type { OwnerFollower } from '@strangler/platform/ownership/owner-follower.ts';
import type { ServiceTrust } from '@strangler/platform/service-trust/service-trust.ts';
import { Counter, type Registry } from 'prom-client';
import { callers } from '../callers.ts';
import { idOfOrder, type ReservationOutcome, type ReservationService } from '../reservations/reservation-service.ts';
import type { StockReader } from '../stock/stock-reader.ts';
import type { StockWatch } from '../watch/stock-watch.ts';
import { reservationAnswer, stockLevel } from './answers.ts';
import { requests } from './requests.ts';

export const inventoryProtoPath = fileURLToPath(new URL('../proto/inventory/v1/inventory.proto', import.meta.url));
export const inventoryPackageName = 'inventory.v1';

export type InventoryGrpcParts = {
  host: string;
  port: number;
  reader: StockReader;
  reservations: ReservationService;
  watch: StockWatch;
  /** Undefined: nobody tells who owns the writes. */
  owner: OwnerFollower | undefined;
  /** The longest that stock may be held. */
  mostTtlMs: number;
  trust: Pick<ServiceTrust, 'grpcServer'>;
  log: Log;
  registry: Registry;
};

/** Serves inventory.v1.Inventory. */
export function startInventoryGrpc(parts: InventoryGrpcParts): Promise<RunningGrpcServer> {
  const { host, port, reader, reservations, watch, owner, mostTtlMs, trust, log, registry } = parts;
  const answered = new Counter({
    name: 'inventory_reservation_calls_total',
    help: 'Calls that were answered, by what the reservation was afterwards, or why there was none.',
    labelNames: ['call', 'outcome'],
    registers: [registry],
  });

  const write = (
    name: string,
    { metadata, signal }: GrpcCallContext,
    { id, work }: { id: string; work(signal: AbortSignal): Promise<ReservationOutcome> },
  ): Promise<object> =>
    asStatus(() =>
      writeUnderEpoch(
        async () => {
          const outcome = await work(signal);
          answered.inc({
            call: name,
            outcome: outcome.kind === 'reservation' ? outcome.reservation.state : outcome.kind,
          });
          return reservationAnswer(id, outcome);
        },
        { metadata, owner },
      ),
    );

  return startGrpcServer({
    host,
    port,
    log,
    protoPath: inventoryProtoPath,
    packageName: inventoryPackageName,
    ...trust.grpcServer(callers.grpc),
    implementations: {
      Inventory: {
        Reserve: async (message: object, call) => {
          const { reservation_id: id, lines, ttl_ms: ttlMs, cause } = requests.reserve(message, mostTtlMs);
          const request = { id, lines, ttlMs, accountId: cause.account_id, orderId: cause.order_id };
          return write('reserve', call, { id, work: (signal) => reservations.reserve(request, signal) });
        },
        Confirm: async (message: object, call) => {
          const { reservation_id: id, order_id: orderId } = requests.confirm(message);
          return write('confirm', call, { id, work: (signal) => reservations.confirm({ id, orderId }, signal) });
        },
        Release: async (message: object, call) => {
          const { reservation_id: id, reason } = requests.release(message);
          return write('release', call, { id, work: (signal) => reservations.release({ id, reason }, signal) });
        },
        GiveBack: async (message: object, call) => {
          const {
            order_id: orderId,
            lines,
            reservation_id: reservationId,
            account_id: accountId,
          } = requests.giveBack(message);
          const id = reservationId ?? idOfOrder(orderId);
          const request = { orderId, lines, reservationId, accountId };
          return write('give back', call, { id, work: (signal) => reservations.giveBack(request, signal) });
        },
        Surrender: async (message: object, call) => {
          const { reservation_id: id, order_id: orderId = 0 } = requests.surrender(message);
          const by = id === undefined ? { orderId } : { id };
          return write('surrender', call, {
            id: id ?? idOfOrder(orderId),
            work: (signal) => reservations.surrender(by, signal),
          });
        },
        GetStock: (message: object) => asStatus(() => getStock(reader, requests.ids(message))),
        WatchStock: async function* (message: object, { signal }) {
          const ids = requests.ids(message);
          for await (const level of watchAsStatus(watch, ids, signal)) yield stockLevel(level);
        },
      },
    },
  });
}

async function getStock(reader: StockReader, ids: readonly number[]): Promise<object> {
  const present = await reader.present(ids);
  const levels = await reader.levels(ids.filter((id) => present.has(id)));
  return { levels: levels.map(stockLevel), missing_ids: ids.filter((id) => !present.has(id)) };
}

async function* watchAsStatus(watch: StockWatch, ids: readonly number[], signal: AbortSignal) {
  const levels = watch.levels(ids, signal)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await asStatus(() => levels.next());
      if (done) return;
      yield value;
    }
  } finally {
    await levels.return?.();
  }
}

/** A database that is away as a status. That an answer was lost changes nothing: every call may be repeated. */
async function asStatus<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof CommitOutcomeUnknown) {
      throw new GrpcError('UNAVAILABLE', 'the database did not say whether it was done; repeat the call to know');
    }
    if (isDatabaseAway(error)) throw new GrpcError('UNAVAILABLE', 'the database cannot answer just now; try again');
    throw error;
  }
}
