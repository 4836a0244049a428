import { describe, expect, test } from '@jest/globals';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { createWriteGate, type HoldEnd, type QuietHold, type WaitingWrite } from './write-gate.ts';

const document = (epoch: number, more: Partial<FlagDocument> = {}): FlagDocument => ({
  slice: 'catalog',
  stage: 'reads',
  reads: { percent: 100, cohorts: [] },
  writes: { owner: 'monolith' },
  epoch,
  change: { id: `change-${epoch}`, by: 'test', at: '2026-01-01T00:00:00.000Z', reason: '' },
  ...more,
});
const held = (epoch: number, forMs = 60_000) =>
  document(epoch, {
    writes: { owner: 'held', from: 'monolith', to: 'service', deadline: new Date(Date.now() + forMs).toISOString() },
  });

/** A gate with a clock that the test turns. */
const gateAt = (first: FlagDocument | undefined) => {
  let [flag, nowMs] = [first, 0];
  const ends: HoldEnd[] = [];
  const quiet: (QuietHold | null)[] = [];
  const gate = createWriteGate({
    bounds: { maxWaiting: 10, maxWaitMs: 30_000, releaseConcurrency: 1 },
    whenCutOff: 'hold',
    flagOf: () => flag,
    account: { held() {}, ended: (_slice, end) => void ends.push(end) },
    onQuiet: (_slice, hold) => void quiet.push(hold),
    nowMs: () => nowMs,
  });
  const served: string[] = [];
  const write = (name: string): WaitingWrite => ({
    place: null,
    go: () => void served.push(name),
    refuse: (why) => void served.push(`${name} ${why}`),
  });
  return {
    gate,
    ends,
    quiet,
    served,
    wait: (name: string) => {
      const waiting = write(name);
      gate.wait('catalog', waiting);
      return waiting;
    },
    put(next: FlagDocument) {
      flag = next;
      gate.flagChanged('catalog');
    },
    turnTo: (ms: number) => {
      nowMs = ms;
    },
  };
};
const sure = (untilMs: number, floor: [string, number][] = []) => ({ untilMs, floor: new Map(floor) });

describe('the gate of a slice', () => {
  test('shuts by itself when the session may have ended, and lets all go in order when it is back', () => {
    const { gate, wait, served, turnTo } = gateAt(document(1));
    gate.stand(sure(1_000));
    turnTo(999);
    expect(gate.passes('catalog')).toBe(true);
    turnTo(1_000);
    expect(gate.passes('catalog')).toBe(false);
    const first = wait('first');
    wait('second');
    expect(gate.status()[0]).toMatchObject({ gate: 'cut-off', heldNow: 2, acknowledged: null });
    gate.stand(sure(2_000));
    expect(served).toEqual(['first']);
    gate.finished('catalog', first);
    expect(served).toEqual(['first', 'second']);
  });

  test('stays shut with a session where the flag that is obeyed is known to be over, until there is a newer one', () => {
    const { gate, wait, served, put } = gateAt(document(4, { stage: 'canary' }));
    gate.stand(sure(Number.POSITIVE_INFINITY, [['catalog', 5]]));
    expect(gate.passes('catalog')).toBe(false);
    wait('first');
    put(document(5, { writes: { owner: 'service' } }));
    expect(served).toEqual(['first']);
    expect(gate.passes('catalog')).toBe(true);
  });

  test('says that a slice is quiet once a hold, and takes it back when the hold is over', () => {
    const { gate, put, quiet } = gateAt(document(1));
    const [one, other] = [
      gate.begin('catalog', 'monolith', 1, 'POST /a'),
      gate.begin('catalog', 'monolith', 1, 'POST /a'),
    ];
    put(held(2));
    one.end();
    expect(quiet).toEqual([]);
    other.end();
    gate.flagChanged('catalog');
    put(held(3));
    put(document(4));
    expect(quiet.map((hold) => hold?.changeId ?? null)).toEqual(['change-2', 'change-3', null]);
  });

  test('refuses at once under a hold whose deadline is over, and says that it is the deadline', () => {
    const { wait, served, ends } = gateAt(held(2, -1));
    wait('late');
    expect([served, ends]).toEqual([['late deadline'], ['deadline']]);
  });

  test('refuses those that wait, and those that come, when the worker stops', async () => {
    const { gate, wait, served } = gateAt(held(2));
    wait('first');
    gate.stop(0);
    await eventually(() => served.length === 1);
    wait('second');
    expect(served).toEqual(['first stopping', 'second stopping']);
  });
});
