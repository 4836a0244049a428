import { AsyncLocalStorage } from 'node:async_hooks';
import type { ToldEvent } from '../contracts/dry-run.ts';

type Listener = { events: ToldEvent[] };

const listeners = new AsyncLocalStorage<Listener>();

/**
 * Runs `work`, and whatever it begins and awaits, with a list that grows by each event that is recorded meanwhile and not
 * undone. Costs nothing where nobody listens.
 */
export function hearEvents<T>(work: (events: readonly ToldEvent[]) => T): T {
  const events: ToldEvent[] = [];
  return listeners.run({ events }, () => work(events));
}

/** For whoever records: an event stands in the outbox. */
export function tellListener(event: ToldEvent): void {
  listeners.getStore()?.events.push(event);
}

/** For whoever runs transactions: what `transaction` records is forgotten where it fails, for then it was undone. */
export async function undoneWhereItFails<T>(transaction: () => Promise<T>): Promise<T> {
  const listener = listeners.getStore();
  if (listener === undefined) return transaction();
  const before = listener.events.length;
  try {
    return await transaction();
  } catch (error) {
    listener.events.length = before;
    throw error;
  }
}
