/** What has become of a reservation. Only `held`, `confirmed` and `surrendered` keep stock from others. */
export type ReservationState =
  /** The stock is taken, until it is confirmed, given up, or its time is over. */
  | 'held'
  /** Sold. */
  | 'confirmed'
  /** Given up before it was sold. */
  | 'released'
  /** Its time was over before anybody confirmed it. */
  | 'expired'
  /** The order was cancelled. */
  | 'returned'
  /** What it took is its caller's to sell or to put back: the tables are the shop's now. */
  | 'surrendered';

export const reservationStates = ['held', 'confirmed', 'released', 'expired', 'returned', 'surrendered'] as const;

/** What can happen to one that there is. `expire`: somebody has looked whether its time is over. */
export type ReservationEvent = 'confirm' | 'release' | 'expire' | 'return' | 'surrender';

export type Transition = {
  state: ReservationState;
  /** What that does to the stock that the reservation took: nothing, or it is there for others again. */
  stock: 'stays' | 'is put back';
};

/**
 * What an event makes of a reservation at a time. The state that it has then is the answer to whoever caused the event: it was
 * done where the state is the one asked for, now or already, and was not done, and never will be, where it is another.
 *
 * Time decides alone, whoever comes first: from `expiresAt` on a held reservation is expired for every event, whether or not
 * anybody has put its stock back yet. But to surrender it moves no stock, and then time does not count any more: whoever has it
 * sells it or puts it back, and does that here where the tables have come back meanwhile.
 */
export function transition(
  { state, expiresAt }: { state: ReservationState; expiresAt: Date },
  event: ReservationEvent,
  now: Date,
): Transition {
  const keepsStock = state === 'held' || state === 'confirmed' || state === 'surrendered';
  if (!keepsStock) return { state, stock: 'stays' };
  if (event === 'surrender') return { state: 'surrendered', stock: 'stays' };
  if (state === 'surrendered' && event === 'expire') return { state, stock: 'stays' };
  if (state === 'confirmed' && event !== 'return') return { state, stock: 'stays' };
  if (state === 'held' && now >= expiresAt) return { state: 'expired', stock: 'is put back' };
  switch (event) {
    case 'confirm':
      return { state: 'confirmed', stock: 'stays' };
    case 'release':
      return { state: 'released', stock: 'is put back' };
    case 'return':
      return { state: 'returned', stock: 'is put back' };
    case 'expire':
      return { state: 'held', stock: 'stays' };
  }
}
