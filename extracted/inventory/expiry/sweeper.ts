import { pause } from '@strangler/platform/backoff.ts';
import { runAsJob } from '@strangler/platform/http/request-context.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { FencedWrite } from '@strangler/platform/ownership/within-fence.ts';
import type { Clock } from '../clock.ts';
import type { ReservationService } from '../reservations/reservation-service.ts';
import { dueReservations } from '../reservations/reservation-store.ts';
import type { ExpiryMetrics } from './expiry-metrics.ts';

export type Sweeper = {
  /** Looks for nothing more, and waits for the reservation in hand. */
  stop(): Promise<void>;
};

export type SweeperOptions = {
  pool: Executor;
  reservations: Pick<ReservationService, 'expire'>;
  everyMs: number;
  clock: Clock;
  counted: ExpiryMetrics;
  log: Log;
};

/** Reservations looked at in one go; the next go follows at once. */
const BATCH = 200;

/**
 * Expires what is due every `everyMs`, whether or not any message tells of it: a lost one cannot keep stock for ever. All instances
 * do it; the second to come finds it done.
 */
export function startSweeper({ pool, reservations, everyMs, clock, counted, log }: SweeperOptions): Sweeper {
  const stopping = new AbortController();

  const sweep = async (): Promise<void> => {
    for (let found = BATCH; found === BATCH && !stopping.signal.aborted; ) {
      const now = clock.now();
      const due = await dueReservations(pool, now, BATCH);
      found = due.length;
      for (const id of due) {
        if (stopping.signal.aborted) return;
        const outcome = await reservations.expire(id);
        if (outcome.kind === 'reservation' && outcome.reservation.state === 'expired') {
          counted.expired('sweeper', outcome.reservation.expiresAt);
        }
      }
    }
  };

  const running = (async () => {
    while ((await pause(everyMs, stopping.signal)) === 'elapsed') {
      try {
        await runAsJob('sweep reservations', sweep);
      } catch (error) {
        if (error instanceof FencedWrite) counted.fenced();
        log.warn({ err: error }, 'reservations could not be swept; the next sweep tries again');
      }
    }
  })();

  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
