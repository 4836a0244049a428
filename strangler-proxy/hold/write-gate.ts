import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { SliceWritesStatus } from '@strangler/platform/contracts/proxy-status.ts';
import type { Side } from '../decide/decision.ts';
import { type HoldBounds, HoldQueue, type Place } from './hold-queue.ts';
import { alwaysSure, type Shut, type Standing, shutBy, type WhenCutOff } from './standing.ts';
import { countWrites, type WriteTicket } from './writes-in-flight.ts';

/** Why a write that had to wait was answered 503. */
export type HoldRefusal =
  /** It had waited until the hold's deadline, or as long as one may. */
  | 'deadline'
  /** As many as may waited already. */
  | 'full'
  /** Whether its slice has another owner by now could not be found out. */
  | 'cut-off'
  /** The worker stops. */
  | 'stopping';

export type HoldEnd = 'released' | 'client-gone' | HoldRefusal;

/** A write that waits. Exactly one of `go` and `refuse` is called, unless it is given up first. */
export type WaitingWrite = {
  go(): void;
  refuse(why: HoldRefusal): void;
  /** The gate's own note of where it stands. */
  place: Place<WaitingWrite> | null;
};

/** What a worker says of a hold that it obeys, once none of its own writes of the slice is under way. */
export type QuietHold = { epoch: number; changeId: string; heldNow: number };

/** Told of every write that had to wait. */
export type HoldAccount = {
  held(slice: string): void;
  ended(slice: string, end: HoldEnd, waitedMs: number): void;
};

export type WriteGateOptions = {
  bounds: HoldBounds;
  whenCutOff: WhenCutOff;
  flagOf(slice: string): FlagDocument | undefined;
  account: HoldAccount;
  /** A slice has become quiet under a hold, or (null) is so no longer. */
  onQuiet(slice: string, hold: QuietHold | null): void;
  /** Milliseconds that only grow, on the clock of a `Standing`. Default `performance.now`. */
  nowMs?: () => number;
};

/** Where writes of slices pass, or wait. */
export type WriteGate = {
  /** Whether a write of the slice may be sent at once. */
  passes(slice: string): boolean;
  /** Puts a write that may not behind the others; refuses it at once where there is no room. */
  wait(slice: string, write: WaitingWrite): void;
  /** The client of a write that waits has gone. */
  leave(slice: string, write: WaitingWrite): void;
  /** A write that has waited and gone is over. */
  finished(slice: string, write: WaitingWrite): void;
  /** Counts a write that is about to be sent. To be called in the same tick as `passes`, or in `go`. */
  begin(slice: string, side: Side, epoch: number | null, route: string): WriteTicket;
  /** The slice's flag document is another; to be called when it is in force. */
  flagChanged(slice: string): void;
  stand(standing: Standing): void;
  /** Refuses whoever still waits, or comes to wait, after `withinMs`. */
  stop(withinMs: number): void;
  status(): SliceWritesStatus[];
  /** Writes that wait now, by slice. */
  waiting(): Iterable<[slice: string, writes: number]>;
};

/** Keeps the writes of held slices waiting, and knows when those that were sent before are over. */
export const createWriteGate = (options: WriteGateOptions): WriteGate => {
  const { nowMs = () => performance.now() } = options;
  let standing = alwaysSure;
  const gates = new Map<string, SliceGate>();
  const inFlight = countWrites((slice) => gates.get(slice)?.tellQuiet(), nowMs);

  const gateOf = (slice: string): SliceGate => {
    let gate = gates.get(slice);
    if (gate === undefined) {
      gate = new SliceGate(slice, { ...options, nowMs, standing: () => standing, underWay: () => inFlight.of(slice) });
      gates.set(slice, gate);
    }
    return gate;
  };

  return {
    passes(slice) {
      const gate = gateOf(slice);
      if (standing.untilMs !== Number.POSITIVE_INFINITY) gate.reconsider();
      return gate.clear;
    },
    wait: (slice, write) => gateOf(slice).wait(write),
    leave: (slice, write) => gateOf(slice).leave(write),
    finished: (slice, write) => gateOf(slice).finished(write),
    begin: inFlight.begin,
    flagChanged: (slice) => gateOf(slice).reconsider(),
    stand(next) {
      standing = next;
      for (const slice of next.floor.keys()) gateOf(slice);
      for (const gate of gates.values()) gate.reconsider();
    },
    stop(withinMs) {
      setTimeout(() => {
        for (const gate of gates.values()) gate.refuseAll();
      }, withinMs).unref();
    },
    status: () =>
      [...gates.values()].map((gate) => ({
        ...gate.status(),
        inFlight: [...inFlight.counts(gate.slice)],
        oldest: inFlight.oldest(gate.slice),
        slowest: inFlight.slowest(gate.slice),
      })),
    waiting: () => [...gates.values()].map((gate): [string, number] => [gate.slice, gate.waiting]),
  };
};

type SliceGateParts = Pick<WriteGateOptions, 'bounds' | 'whenCutOff' | 'flagOf' | 'account' | 'onQuiet'> & {
  nowMs(): number;
  standing(): Standing;
  underWay(): number;
};

class SliceGate {
  readonly slice: string;
  readonly #parts: SliceGateParts;
  readonly #queue: HoldQueue<WaitingWrite>;
  #shut: Shut | null = null;
  /** Why those are refused whose time is up; what shut the gate last. */
  #late: HoldRefusal = 'deadline';
  #told: string | null = null;
  #timer: NodeJS.Timeout | undefined;
  #moving = false;
  #stopped = false;

  constructor(slice: string, parts: SliceGateParts) {
    this.slice = slice;
    this.#parts = parts;
    this.#queue = new HoldQueue(parts.bounds);
    this.reconsider();
  }

  get clear(): boolean {
    return this.#queue.clear;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** Looks again whether writes must wait. */
  reconsider(): void {
    const { flagOf, standing, whenCutOff, nowMs } = this.#parts;
    const shut = shutBy(this.slice, flagOf(this.slice), standing(), nowMs(), whenCutOff);
    if (!isSame(shut, this.#shut)) {
      this.#shut = shut;
      if (shut === null) this.#queue.open();
      else {
        this.#late = shut.why === 'cut-off' ? 'cut-off' : 'deadline';
        // A deadline is a date; what is measured is the time until then, which nobody sets forward or back.
        const leftMs = shut.why === 'cut-off' ? Number.POSITIVE_INFINITY : shut.deadline - Date.now();
        this.#queue.shut(nowMs() + leftMs);
      }
      this.#move();
    }
    this.tellQuiet();
  }

  wait(write: WaitingWrite): void {
    const { account, nowMs } = this.#parts;
    const place = this.#stopped ? 'stopped' : this.#queue.enter(write, nowMs());
    account.held(this.slice);
    if (typeof place === 'string') {
      const why = place === 'stopped' ? 'stopping' : place === 'full' ? 'full' : this.#late;
      account.ended(this.slice, why, 0);
      write.refuse(why);
      return;
    }
    write.place = place;
    this.#move();
  }

  leave(write: WaitingWrite): void {
    if (write.place === null) return;
    this.#queue.leave(write.place);
    this.#ended(write.place, 'client-gone');
    this.#move();
  }

  finished(write: WaitingWrite): void {
    if (write.place === null) return;
    this.#queue.finished(write.place);
    this.#move();
  }

  refuseAll(): void {
    this.#stopped = true;
    for (const place of this.#queue.leaveAll()) {
      this.#ended(place, 'stopping');
      place.write.refuse('stopping');
    }
    clearTimeout(this.#timer);
  }

  /** Says so where the slice is held and nothing of it is under way any more, once a hold. */
  tellQuiet(): void {
    const { flagOf, underWay, onQuiet } = this.#parts;
    const document = flagOf(this.slice);
    const quiet = document?.writes.owner === 'held' && underWay() === 0 ? document : null;
    const changeId = quiet?.change.id ?? null;
    if (changeId === this.#told) return;
    this.#told = changeId;
    onQuiet(this.slice, quiet && { epoch: quiet.epoch, changeId: quiet.change.id, heldNow: this.waiting });
  }

  status(): Omit<SliceWritesStatus, 'inFlight' | 'oldest' | 'slowest'> {
    const document = this.#parts.flagOf(this.slice);
    return {
      slice: this.slice,
      epoch: document?.epoch ?? null,
      gate: this.#shut?.why ?? (this.#queue.clear ? 'open' : 'releasing'),
      deadline: this.#shut?.why === 'cut-over' ? new Date(this.#shut.deadline).toISOString() : null,
      heldNow: this.waiting,
      acknowledged: this.#told,
    };
  }

  /** Lets all go whose time has come, and looks again when the next one's comes. */
  #move(): void {
    // What goes may end at once and come back here; the round that is under way takes the next one then.
    if (this.#moving) return;
    this.#moving = true;
    try {
      for (let due = this.#queue.take(this.#parts.nowMs()); due !== null; due = this.#queue.take(this.#parts.nowMs())) {
        const { place, end } = due;
        this.#ended(place, end === 'released' ? 'released' : this.#late);
        if (end === 'released') place.write.go();
        else place.write.refuse(this.#late);
      }
    } finally {
      this.#moving = false;
    }
    clearTimeout(this.#timer);
    const nextMs = this.#queue.nextMs();
    if (nextMs === null) return;
    this.#timer = setTimeout(() => this.#move(), Math.max(1, Math.ceil(nextMs - this.#parts.nowMs())));
  }

  #ended({ arrivedMs }: Place<WaitingWrite>, end: HoldEnd): void {
    this.#parts.account.ended(this.slice, end, this.#parts.nowMs() - arrivedMs);
  }
}

const isSame = (one: Shut | null, other: Shut | null): boolean =>
  one?.why === other?.why && (one?.why !== 'cut-over' || other?.why !== 'cut-over' || one.deadline === other.deadline);
