import type { Side } from '../decide/decision.ts';
import { rememberSlowest, type Slowest, type SlowestWrite } from './slowest-write.ts';

/** The write of a slice that has been under way for longest. */
export type OldestWrite = { readonly route: string; readonly forMs: number };

/** Writes under way to one side under one epoch. */
export type WriteCount = { readonly side: Side; readonly epoch: number | null; readonly writes: number };

/** One write under way; `end` is called once it is over, and may be called again. */
export type WriteTicket = { end(): void };

export type WritesInFlight = {
  /** A write has been decided about and is about to be sent. */
  begin(slice: string, side: Side, epoch: number | null, route: string): WriteTicket;
  /** How many of the slice's writes are under way. */
  of(slice: string): number;
  counts(slice: string): readonly WriteCount[];
  oldest(slice: string): OldestWrite | null;
  /** The longest of those that ended lately. */
  slowest(slice: string): SlowestWrite | null;
  slices(): Iterable<string>;
};

type Tally = { side: Side; epoch: number | null; writes: number };
/** `open`: in the order in which they began. */
type SliceTally = { writes: number; tallies: Tally[]; open: Set<Ticket>; slowest: Slowest };

/** Long enough that a route which is asked for seldom is in it, short enough that what was mended is soon out of it. */
const slowestOfMs = 600_000;

/**
 * Counts the writes of each slice from the moment they are decided about, before they are sent, until their answer is
 * whole or their connection broken. `onQuiet` is called when the last one of a slice has ended.
 */
export const countWrites = (
  onQuiet: (slice: string) => void,
  nowMs: () => number = () => performance.now(),
): WritesInFlight => {
  const slices = new Map<string, SliceTally>();
  return {
    begin(slice, side, epoch, route) {
      let all = slices.get(slice);
      if (all === undefined) {
        all = { writes: 0, tallies: [], open: new Set(), slowest: rememberSlowest(slowestOfMs) };
        slices.set(slice, all);
      }
      let tally = all.tallies.find((one) => one.side === side && one.epoch === epoch);
      if (tally === undefined) {
        tally = { side, epoch, writes: 0 };
        all.tallies.push(tally);
      }
      all.writes += 1;
      tally.writes += 1;
      const ticket = new Ticket(slice, all, tally, { route, sinceMs: nowMs() }, onQuiet, nowMs);
      all.open.add(ticket);
      return ticket;
    },
    of: (slice) => slices.get(slice)?.writes ?? 0,
    counts: (slice) => slices.get(slice)?.tallies ?? [],
    oldest(slice) {
      const [first] = slices.get(slice)?.open ?? [];
      return first === undefined ? null : { route: first.began.route, forMs: nowMs() - first.began.sinceMs };
    },
    slowest: (slice) => slices.get(slice)?.slowest.of(nowMs()) ?? null,
    slices: () => slices.keys(),
  };
};

class Ticket implements WriteTicket {
  readonly #slice: string;
  readonly #all: SliceTally;
  readonly #tally: Tally;
  readonly began: { readonly route: string; readonly sinceMs: number };
  readonly #onQuiet: (slice: string) => void;
  readonly #nowMs: () => number;
  #ended = false;

  constructor(
    slice: string,
    all: SliceTally,
    tally: Tally,
    began: { route: string; sinceMs: number },
    onQuiet: (slice: string) => void,
    nowMs: () => number,
  ) {
    this.#slice = slice;
    this.#all = all;
    this.#tally = tally;
    this.began = began;
    this.#onQuiet = onQuiet;
    this.#nowMs = nowMs;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#all.writes -= 1;
    this.#all.open.delete(this);
    const nowMs = this.#nowMs();
    const { route, sinceMs } = this.began;
    this.#all.slowest.note({ route, tookMs: nowMs - sinceMs }, nowMs);
    this.#tally.writes -= 1;
    // Epochs grow for ever; their tallies must not.
    if (this.#tally.writes === 0) this.#all.tallies.splice(this.#all.tallies.indexOf(this.#tally), 1);
    if (this.#all.writes === 0) this.#onQuiet(this.#slice);
  }
}
