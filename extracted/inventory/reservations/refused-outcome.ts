import { Problem } from '@strangler/platform/http/problem.ts';
import type { Fenced } from '../fenced.ts';
import type { ReservationOutcome } from './reservation-service.ts';

/** A refusal because of the levels that were read. The fence knows by its kind that it may be wrong behind a closed one. */
class RefusedOutcome extends Problem {
  readonly outcome: ReservationOutcome;

  constructor(outcome: ReservationOutcome) {
    super({ status: 409, title: outcome.kind });
    this.name = 'RefusedOutcome';
    this.outcome = outcome;
  }
}

/** Runs a write within the fence: what it refuses is believed only where the fence is open. */
export async function throughFence(
  fenced: Fenced,
  write: () => Promise<ReservationOutcome>,
): Promise<ReservationOutcome> {
  try {
    return await fenced(async () => {
      const outcome = await write();
      if (outcome.kind === 'short' || outcome.kind === 'never in stock') throw new RefusedOutcome(outcome);
      return outcome;
    });
  } catch (error) {
    if (error instanceof RefusedOutcome) return error.outcome;
    throw error;
  }
}
