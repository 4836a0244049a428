import { Metadata } from '@grpc/grpc-js';
import { GrpcError, type GrpcStatusName } from '@strangler/platform/grpc/errors.ts';
import type { ReservationOutcome } from '../reservations/reservation-service.ts';
import type { ReservationState } from '../reservations/reservation-state.ts';
import type { StockView } from '../stock/stock-view.ts';

/** `inventory.v1.Outcome`, but for SHORT. */
const outcomes = {
  held: 'RESERVED',
  confirmed: 'CONFIRMED',
  released: 'RELEASED',
  expired: 'EXPIRED',
  returned: 'RETURNED',
  surrendered: 'SURRENDERED',
} as const satisfies Record<ReservationState, string>;

/** Why a call is refused, in the metadata `x-reason`. */
export type RefusalReason = 'unknown-reservation' | 'other-lines' | 'other-order' | 'never-in-stock' | 'owned-here';

/** The message `inventory.v1.ReservationAnswer`; throws a status where the call is refused. */
export function reservationAnswer(id: string, outcome: ReservationOutcome): object {
  switch (outcome.kind) {
    case 'reservation': {
      const { state, lines, expiresAt } = outcome.reservation;
      return {
        outcome: outcomes[state],
        reservation_id: outcome.reservation.id,
        lines: lines.map(({ productId, quantity }) => ({ product_id: productId, quantity })),
        expires_at: expiresAt.toISOString(),
      };
    }
    case 'owned here':
      throw refusal(
        'FAILED_PRECONDITION',
        'owned-here',
        'the stock is this service’s, as far as it knows; nothing was done',
      );
    case 'short': {
      const shortages = outcome.shortages.map(({ productId, ...rest }) => ({ product_id: productId, ...rest }));
      return { outcome: 'SHORT', reservation_id: id, shortages };
    }
    case 'unknown':
      throw refusal('NOT_FOUND', 'unknown-reservation', `there is no reservation ${id}`);
    case 'other lines':
      throw refusal('ALREADY_EXISTS', 'other-lines', `reservation ${id} is of other lines; nothing was done`);
    case 'other order':
      throw refusal(
        'ALREADY_EXISTS',
        'other-order',
        `reservation ${id} is of another order, or the order has another reservation; nothing was done`,
      );
    case 'never in stock':
      throw refusal(
        'FAILED_PRECONDITION',
        'never-in-stock',
        `product ${outcome.productIds.join(', ')} never had stock here; nothing was put back`,
      );
  }
}

/** The message `inventory.v1.StockLevel`. */
export function stockLevel({ productId, available, version, updatedAt }: StockView): object {
  return { product_id: productId, available, version, updated_at: updatedAt?.toISOString() ?? '' };
}

function refusal(code: GrpcStatusName, reason: RefusalReason, details: string): GrpcError {
  const metadata = new Metadata();
  metadata.set('x-reason', reason);
  return new GrpcError(code, details, metadata);
}
