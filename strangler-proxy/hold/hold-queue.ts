export type HoldBounds = {
  /** Writes that may wait. */
  maxWaiting: number;
  /** How long one may wait, whatever deadline a hold has. */
  maxWaitMs: number;
  /** Released writes that may be under way at once. */
  releaseConcurrency: number;
};

/** A released write that takes longer than this makes room for the next: a slow body must not stop all behind it. */
export const longestRoomMs = 1_000;

/** Where a write waits; it is compared by identity. */
export type Place<T> = { readonly write: T; readonly arrivedMs: number };

/** What is to be done now with the write that has waited longest. */
export type Due<T> = { place: Place<T>; end: 'released' | 'late' };

/**
 * The writes of one slice that wait, in order of arrival. It knows no clock: times are given, in milliseconds of any one
 * clock that only grows.
 *
 * Shut, nobody leaves but those whose time is up (`late`), and nobody comes in when it is full. Open, those that wait
 * are released by `releaseConcurrency` at a time, and whoever comes meanwhile waits behind them. Open it refuses nobody:
 * when it is full, or the time of the first is up, the first goes at once.
 */
export class HoldQueue<T> {
  readonly #bounds: HoldBounds;
  readonly #waiting = new Set<Place<T>>();
  /** Released and not finished, with the time of release: in order of release, so the oldest stands first. */
  readonly #released = new Map<Place<T>, number>();
  #shut = false;
  #deadlineMs = Number.POSITIVE_INFINITY;

  constructor(bounds: HoldBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Whether a write may go past: nothing is shut and nobody waits. */
  get clear(): boolean {
    return !this.#shut && this.#waiting.size === 0;
  }

  /** From now on nobody is released; whoever waits at the deadline is late. */
  shut(deadlineMs: number): void {
    this.#shut = true;
    this.#deadlineMs = deadlineMs;
  }

  open(): void {
    this.#shut = false;
  }

  /** Takes a write in behind all others, where it is not `clear`. */
  enter(write: T, nowMs: number): Place<T> | 'full' | 'late' {
    if (this.#shut) {
      if (nowMs >= this.#deadlineMs) return 'late';
      if (this.#waiting.size >= this.#bounds.maxWaiting) return 'full';
    }
    const place = { write, arrivedMs: nowMs };
    this.#waiting.add(place);
    return place;
  }

  /** A write that waits is given up. */
  leave(place: Place<T>): void {
    this.#waiting.delete(place);
  }

  /** All that wait are given up, in order of arrival. */
  leaveAll(): Place<T>[] {
    const all = [...this.#waiting];
    this.#waiting.clear();
    return all;
  }

  /** A released write is over. */
  finished(place: Place<T>): void {
    this.#released.delete(place);
  }

  /** Takes out the write that must not wait any longer; to be asked again until it says null. */
  take(nowMs: number): Due<T> | null {
    const [first] = this.#waiting;
    if (first === undefined) return null;
    const timeIsUp = nowMs >= this.#deadlineOf(first);
    if (this.#shut) {
      if (!timeIsUp) return null;
      this.#waiting.delete(first);
      return { place: first, end: 'late' };
    }
    this.#forgetSlow(nowMs);
    const hasRoom = this.#released.size < this.#bounds.releaseConcurrency;
    if (!hasRoom && !timeIsUp && this.#waiting.size <= this.#bounds.maxWaiting) return null;
    this.#waiting.delete(first);
    this.#released.set(first, nowMs);
    return { place: first, end: 'released' };
  }

  /** When `take` will have something again though nothing else happens; null: never. */
  nextMs(): number | null {
    const [first] = this.#waiting;
    if (first === undefined) return null;
    const timeIsUpMs = this.#deadlineOf(first);
    if (this.#shut) return timeIsUpMs;
    const [oldestMs] = this.#released.values();
    return oldestMs === undefined ? timeIsUpMs : Math.min(timeIsUpMs, oldestMs + longestRoomMs);
  }

  /** Grows with the order of arrival, so the first in the queue is always the first whose time is up. */
  #deadlineOf({ arrivedMs }: Place<T>): number {
    return Math.min(this.#deadlineMs, arrivedMs + this.#bounds.maxWaitMs);
  }

  #forgetSlow(nowMs: number): void {
    for (const [place, releasedMs] of this.#released) {
      if (nowMs - releasedMs < longestRoomMs) return;
      this.#released.delete(place);
    }
  }
}
