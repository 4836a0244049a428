/** Samples that wait to be asked about, oldest first, bounded in number and in age. */
export type WaitingLine<T> = {
  /** False where there is no room. */
  enter(item: T): boolean;
  /** The oldest that is not too old; those that are, are told and left behind. */
  next(): T | null;
  size(): number;
  /** Empties it. */
  leaveAll(): T[];
};

export type WaitingLineOptions<T> = {
  maxWaiting: number;
  maxAgeMs: number;
  onTooOld(item: T): void;
  nowMs: () => number;
};

export const createWaitingLine = <T>({
  maxWaiting,
  maxAgeMs,
  onTooOld,
  nowMs,
}: WaitingLineOptions<T>): WaitingLine<T> => {
  let places: { item: T; enteredMs: number }[] = [];
  let first = 0;

  const takeFirst = (): { item: T; enteredMs: number } | undefined => {
    const place = places[first];
    if (place === undefined) return undefined;
    first += 1;
    // Taking from an array's head moves all the rest; once in a while is enough.
    if (first * 2 > places.length) {
      places = places.slice(first);
      first = 0;
    }
    return place;
  };

  return {
    enter(item) {
      if (places.length - first >= maxWaiting) return false;
      places.push({ item, enteredMs: nowMs() });
      return true;
    },
    next() {
      for (let place = takeFirst(); place !== undefined; place = takeFirst()) {
        if (nowMs() - place.enteredMs <= maxAgeMs) return place.item;
        onTooOld(place.item);
      }
      return null;
    },
    size: () => places.length - first,
    leaveAll() {
      const all = places.slice(first).map(({ item }) => item);
      places = [];
      first = 0;
      return all;
    },
  };
};
