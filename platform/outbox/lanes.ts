/**
 * Hands out what waits so that of one key never two batches are in hand, and each key's items come in the order in which
 * they were added. A key can be parked: what it has waits, others go on.
 */
export type Lanes<T> = {
  add(key: string, item: T): void;
  /** Up to `limit` items, whole runs of keys that are not in hand; several of one key stand in order. */
  take(limit: number): { key: string; items: T[] }[];
  /** A key's items have been dealt with; `again` go back to the front, in order. */
  release(key: string, again?: readonly T[]): void;
  /** Waiting, whether parked or not; without what is in hand. */
  waiting(): number;
};

export function createLanes<T>(): Lanes<T> {
  const lanes = new Map<string, { items: T[]; inHand: boolean }>();
  const ready = new Set<string>();
  let waiting = 0;
  return {
    add(key, item) {
      const lane = lanes.get(key) ?? { items: [], inHand: false };
      lanes.set(key, lane);
      lane.items.push(item);
      waiting += 1;
      if (!lane.inHand) ready.add(key);
    },
    take(limit) {
      const taken: { key: string; items: T[] }[] = [];
      let left = limit;
      for (const key of ready) {
        if (left <= 0) break;
        const lane = lanes.get(key);
        if (lane === undefined) continue;
        const items = lane.items.splice(0, left);
        lane.inHand = true;
        ready.delete(key);
        left -= items.length;
        waiting -= items.length;
        taken.push({ key, items });
      }
      return taken;
    },
    release(key, again = []) {
      const lane = lanes.get(key);
      if (lane === undefined) return;
      lane.items.unshift(...again);
      waiting += again.length;
      lane.inHand = false;
      if (lane.items.length > 0) ready.add(key);
      else lanes.delete(key);
    },
    waiting: () => waiting,
  };
}
