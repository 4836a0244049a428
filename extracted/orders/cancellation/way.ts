import type { Executor } from '@strangler/platform/mysql/statements.ts';
import type { Happening } from '../saga/saga-state.ts';
import type { Saga } from '../saga/saga-store.ts';

export const cancellationWays = ['orchestrated', 'choreographed'] as const;

/** How what a cancelled order had of stock and money is given back. */
export type CancellationWay = {
  /** Said to whoever hears of the cancellation, beside the event. */
  marks(saga: Saga, by: number | null): Record<string, string> | undefined;
  /** In the transaction of the cancellation, with the saga locked; gives what the saga is to know beside that it is cancelled. */
  begin(saga: Saga, transaction: Executor): Promise<Happening[]>;
  /** After it: waits until the others have taken note, `waitMs` at most. */
  takenNote(saga: Saga, waitMs: number): Promise<void>;
};
