import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HoldQueue, longestRoomMs, type Place } from './hold-queue.ts';

const bounds = { maxWaiting: 5, maxWaitMs: 1_000, releaseConcurrency: 2 };

/** What may happen to a queue, with the time that passes before it. */
const event = fc.record({
  afterMs: fc.nat({ max: 400 }),
  kind: fc.constantFrom('arrive', 'arrive', 'arrive', 'leave', 'finish', 'shut', 'open', 'look' as const),
  pick: fc.nat({ max: 20 }),
  deadlineInMs: fc.nat({ max: 2_000 }),
});

type Ended = { write: number; end: 'released' | 'late' | 'gone'; waitedMs: number };
type Played = {
  ended: Ended[];
  /** How many waited, and whether the hold's deadline was over, when one was refused. */
  refused: { why: 'full' | 'late'; waiting: number; deadlineOver: boolean; shut: boolean }[];
  /** Of each release: how many were under way and not slow, and whether it could not be put off. */
  releases: { underWay: number; mustGo: boolean }[];
  /** Of each that was late: whether its time was up. */
  late: { timeUp: boolean }[];
  /** Writes that still waited when everything due had been taken, though their time was up. */
  overdue: number;
  arrived: number[];
  queue: HoldQueue<number>;
};

/** Plays events, taking out what is due at each of them and, as a timer would, at each time that the queue names. */
const play = (events: (typeof event extends fc.Arbitrary<infer E> ? E : never)[]): Played => {
  const queue = new HoldQueue<number>(bounds);
  const waiting = new Map<number, Place<number>>();
  const underWay = new Map<Place<number>, number>();
  const played: Played = { ended: [], refused: [], releases: [], late: [], overdue: 0, arrived: [], queue };
  let [nowMs, shut, deadlineMs] = [0, false, Number.POSITIVE_INFINITY];
  const timeUp = ({ arrivedMs }: Place<number>) => nowMs >= Math.min(deadlineMs, arrivedMs + bounds.maxWaitMs);

  const drain = () => {
    for (let due = queue.take(nowMs); due !== null; due = queue.take(nowMs)) {
      const { place, end } = due;
      const young = [...underWay.values()].filter((sinceMs) => nowMs - sinceMs < longestRoomMs).length;
      const mustGo = timeUp(place) || waiting.size > bounds.maxWaiting;
      if (end === 'released') played.releases.push({ underWay: young, mustGo });
      else played.late.push({ timeUp: timeUp(place) });
      if (end === 'released') underWay.set(place, nowMs);
      waiting.delete(place.write);
      played.ended.push({ write: place.write, end, waitedMs: nowMs - place.arrivedMs });
    }
    played.overdue += [...waiting.values()].filter(timeUp).length;
  };
  const passUntil = (untilMs: number) => {
    for (let next = queue.nextMs(); next !== null && next <= untilMs; next = queue.nextMs()) {
      nowMs = Math.max(nowMs, next);
      drain();
    }
    nowMs = untilMs;
  };

  for (const [write, { afterMs, kind, pick, deadlineInMs }] of events.entries()) {
    passUntil(nowMs + afterMs);
    if (kind === 'arrive' && !queue.clear) {
      const place = queue.enter(write, nowMs);
      if (typeof place === 'string')
        played.refused.push({ why: place, shut, waiting: waiting.size, deadlineOver: nowMs >= deadlineMs });
      else {
        waiting.set(write, place);
        played.arrived.push(write);
      }
    } else if (kind === 'leave' && waiting.size > 0) {
      const [gone, place] = [...waiting][pick % waiting.size]!;
      queue.leave(place);
      waiting.delete(gone);
      played.ended.push({ write: gone, end: 'gone', waitedMs: nowMs - place.arrivedMs });
    } else if (kind === 'finish' && underWay.size > 0) {
      const place = [...underWay.keys()][pick % underWay.size]!;
      queue.finished(place);
      underWay.delete(place);
    } else if (kind === 'shut') {
      [shut, deadlineMs] = [true, nowMs + deadlineInMs];
      queue.shut(deadlineMs);
    } else if (kind === 'open') {
      shut = false;
      queue.open();
    }
    drain();
  }
  passUntil(nowMs + 10 * bounds.maxWaitMs);
  return played;
};
const law = (claim: (played: Played) => void) =>
  fc.assert(fc.property(fc.array(event, { maxLength: 80 }), (events) => claim(play(events))));
const inOrder = (numbers: number[]) => numbers.toSorted((one, other) => one - other);

describe('writes that wait', () => {
  test('leave in the order in which they came, whatever comes and goes', () => {
    law(({ ended }) => {
      const served = ended.filter(({ end }) => end !== 'gone').map(({ write }) => write);
      expect(served).toEqual(inOrder(served));
    });
  });

  test('leave exactly once, and none is left behind', () => {
    law(({ ended, arrived, queue }) => {
      expect(inOrder(ended.map(({ write }) => write))).toEqual(arrived);
      expect([queue.size, queue.nextMs()]).toEqual([0, null]);
    });
  });

  test('never wait past the deadline, nor longer than one may, and are not refused before', () => {
    law(({ ended, late, overdue }) => {
      expect(overdue).toBe(0);
      for (const { waitedMs } of ended) expect(waitedMs).toBeLessThanOrEqual(bounds.maxWaitMs);
      for (const { timeUp } of late) expect(timeUp).toBe(true);
    });
  });

  test('are refused only while the gate is shut: when as many wait as may, or the deadline is over', () => {
    law(({ refused }) => {
      for (const { why, shut, waiting, deadlineOver } of refused) {
        expect(shut).toBe(true);
        if (why === 'full') expect(waiting).toBe(bounds.maxWaiting);
        else expect(deadlineOver).toBe(true);
      }
    });
  });

  test('are released a few at a time, unless their time is up or more would wait than may', () => {
    law(({ releases }) => {
      for (const { underWay, mustGo } of releases)
        if (!mustGo) expect(underWay).toBeLessThan(bounds.releaseConcurrency);
    });
  });
});

describe('a release', () => {
  const held = (count: number): HoldQueue<number> => {
    const queue = new HoldQueue<number>({ ...bounds, maxWaiting: 10 });
    queue.shut(900);
    for (let write = 0; write < count; write += 1) queue.enter(write, write);
    queue.open();
    return queue;
  };
  const takeAll = (queue: HoldQueue<number>, nowMs: number) => {
    const taken = [];
    for (let due = queue.take(nowMs); due !== null; due = queue.take(nowMs)) taken.push(due.place);
    return taken;
  };

  test('sends the next when one is over', () => {
    const queue = held(4);
    const [first] = takeAll(queue, 10);
    expect(queue.size).toBe(2);
    queue.finished(first!);
    expect(takeAll(queue, 10).map(({ write }) => write)).toEqual([2]);
  });

  test('goes on past writes that take long', () => {
    const queue = new HoldQueue<number>(bounds);
    queue.shut(60_000);
    for (let write = 0; write < 4; write += 1) queue.enter(write, 0);
    queue.open();
    expect(takeAll(queue, 0)).toHaveLength(2);
    expect(queue.nextMs()).toBe(longestRoomMs);
    expect(takeAll(queue, longestRoomMs)).toHaveLength(2);
  });

  test('lets all go at the deadline rather than refuse what has an owner', () => {
    const queue = held(6);
    takeAll(queue, 10);
    expect(queue.nextMs()).toBe(900);
    expect(takeAll(queue, 900).map(({ write }) => write)).toEqual([2, 3, 4, 5]);
  });

  test('keeps back whoever comes behind those that wait, and stops where another hold comes', () => {
    const queue = held(4);
    takeAll(queue, 10);
    expect(queue.clear).toBe(false);
    queue.enter(4, 11);
    queue.shut(5_000);
    expect(takeAll(queue, 20)).toEqual([]);
    queue.open();
    queue.shut(6_000);
    expect(queue.size).toBe(3);
  });
});
