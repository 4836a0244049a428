import type { Side } from '../decide/decision.ts';

/** Writes under way to one side under one epoch. */
export type WriteCount = { readonly side: Side; readonly epoch: number | null; readonly writes: number };

/** One write under way; `end` is called once it is over, and may be called again. */
export type WriteTicket = { end(): void };

export type WritesInFlight = {
  /** A write has been decided about and is about to be sent. */
  begin(slice: string, side: Side, epoch: number | null): WriteTicket;
  /** How many of the slice's writes are under way. */
  of(slice: string): number;
  counts(slice: string): readonly WriteCount[];
  slices(): Iterable<string>;
};

type Tally = { side: Side; epoch: number | null; writes: number };
type SliceTally = { writes: number; tallies: Tally[] };

/**
 * Counts the writes of each slice from the moment they are decided about, before they are sent, until their answer is
 * whole or their connection broken. `onQuiet` is called when the last one of a slice has ended.
 */
export const countWrites = (onQuiet: (slice: string) => void): WritesInFlight => {
  const slices = new Map<string, SliceTally>();
  return {
    begin(slice, side, epoch) {
      let all = slices.get(slice);
      if (all === undefined) {
        all = { writes: 0, tallies: [] };
        slices.set(slice, all);
      }
      let tally = all.tallies.find((one) => one.side === side && one.epoch === epoch);
      if (tally === undefined) {
        tally = { side, epoch, writes: 0 };
        all.tallies.push(tally);
      }
      all.writes += 1;
      tally.writes += 1;
      return new Ticket(slice, all, tally, onQuiet);
    },
    of: (slice) => slices.get(slice)?.writes ?? 0,
    counts: (slice) => slices.get(slice)?.tallies ?? [],
    slices: () => slices.keys(),
  };
};

class Ticket implements WriteTicket {
  readonly #slice: string;
  readonly #all: SliceTally;
  readonly #tally: Tally;
  readonly #onQuiet: (slice: string) => void;
  #ended = false;

  constructor(slice: string, all: SliceTally, tally: Tally, onQuiet: (slice: string) => void) {
    this.#slice = slice;
    this.#all = all;
    this.#tally = tally;
    this.#onQuiet = onQuiet;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#all.writes -= 1;
    this.#tally.writes -= 1;
    // Epochs grow for ever; their tallies must not.
    if (this.#tally.writes === 0) this.#all.tallies.splice(this.#all.tallies.indexOf(this.#tally), 1);
    if (this.#all.writes === 0) this.#onQuiet(this.#slice);
  }
}
