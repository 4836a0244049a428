import { pause } from '@strangler/platform/backoff.ts';
import { reservationOf } from '../saga/perform.ts';
import { isHeard } from './cancellation-state.ts';
import type { Cancellations } from './cancellation-store.ts';
import type { CancellationWay } from './way.ts';

/** How often somebody who waits looks for what was heard meanwhile, by whatever instance. */
const LOOK_EVERY_MS = 50;

/** Nobody asks: the event tells everybody that the order is cancelled, each does what is his to do, and says so by an event of his own. */
export function choreographed({ cancellations }: { cancellations: Cancellations }): CancellationWay {
  return {
    marks: (saga, by) => ({
      cancellation: 'choreographed',
      // One that was sold without a reservation is known to the inventory by its order.
      ...(saga.state.reservation === 0 ? {} : { reservation: reservationOf(saga) }),
      ...(by === null ? {} : { 'asked-by': `${by}` }),
    }),
    async begin({ orderId, id }, transaction) {
      if (orderId === null) throw new Error(`saga ${id} has no order`);
      await cancellations.begin(orderId, transaction);
      return [{ kind: 'left to others' }];
    },
    async takenNote({ orderId }, waitMs) {
      if (orderId === null) return;
      for (const untilMs = performance.now() + waitMs; performance.now() < untilMs; await pause(LOOK_EVERY_MS)) {
        const known = await cancellations.read(orderId);
        if (known === undefined || isHeard(known)) return;
      }
    },
  };
}
