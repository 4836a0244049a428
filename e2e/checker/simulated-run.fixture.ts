import fc from 'fast-check';
import type { Captured } from './captured-order.ts';
import type { Evidence, Ownership } from './check-cutovers.ts';
import { absent, deleted, type Operation, type Side } from './operation.ts';

/** What a run is made of: at each instant one thing happens, to a key or to the ownership. */
type Step = {
  key: number;
  kind: 'write' | 'read' | 'copy read' | 'delete' | 'add' | 'cut-over' | 'called off';
  outcome: 'ok' | 'refused' | 'unknown, done' | 'unknown, not done';
  /** How long before its instant the operation was begun, and how long after it it ended. */
  early: number;
  late: number;
};

const step: fc.Arbitrary<Step> = fc.record({
  key: fc.integer({ min: 0, max: 2 }),
  kind: fc.constantFrom('write', 'write', 'write', 'read', 'copy read', 'delete', 'add', 'cut-over', 'called off'),
  outcome: fc.constantFrom('ok', 'ok', 'ok', 'refused', 'unknown, done', 'unknown, not done'),
  early: fc.integer({ min: 0, max: 60 }),
  late: fc.integer({ min: 0, max: 60 }),
});

/** Runs in which nothing goes wrong: owners change, clients meet, some are refused and some are never answered. */
export const faultlessRuns: fc.Arbitrary<Evidence> = fc.array(step, { minLength: 1, maxLength: 60 }).map(simulate);

const other = (side: Side): Side => (side === 'monolith' ? 'service' : 'monolith');

function simulate(steps: readonly Step[]): Evidence {
  const state = new Map<string, string>();
  const history: Operation[] = [];
  const captured: Captured[] = [];
  const ownership: Ownership[] = [
    { side: 'monolith', fromMs: Number.NEGATIVE_INFINITY, untilMs: Number.POSITIVE_INFINITY },
  ];
  const ids = { monolith: 0n, service: 0n };
  let owner: Side = 'monolith';
  let epoch = 1;
  const removed = new Set<string>();

  for (const [at, { key: number, kind, outcome, early, late }] of steps.entries()) {
    const instant = (at + 1) * 10;
    if (kind === 'cut-over' || kind === 'called off') {
      epoch += 1;
      if (kind === 'called off') continue;
      owner = other(owner);
      ownership.at(-1)!.untilMs = instant;
      ownership.push({ side: owner, fromMs: instant, untilMs: Number.POSITIVE_INFINITY });
      continue;
    }
    const isAdd = kind === 'add';
    const key = `${isAdd ? 'counter' : 'product'} ${number}`;
    // Written for the last time: nothing follows a delete.
    if (removed.has(key) && kind !== 'read') continue;
    const held = state.get(key);
    const isWrite = kind === 'write' || kind === 'delete' || isAdd;
    if (kind === 'delete' && held === undefined) continue;
    const isDone = !isWrite || outcome === 'ok' || outcome === 'unknown, done';
    const value =
      kind === 'delete' ? deleted : isAdd ? `${Number(held ?? 0) + 1}` : kind === 'write' ? `w${at}` : (held ?? absent);
    if (kind === 'delete') removed.add(key);
    if (isWrite && isDone) {
      ids[owner] += 1n;
      captured.push({ side: owner, key, value, epoch, id: ids[owner] });
      state.set(key, value);
    }
    const isUnknown = isWrite && outcome.startsWith('unknown');
    // The instant of a copy's read is that of the write it is behind; it is asked any time later.
    const lag = kind === 'copy read' ? 1_000 : 0;
    history.push({
      id: at,
      client: `client ${at % 3}`,
      op: kind,
      kind: isAdd ? 'add' : isWrite ? 'write' : 'read',
      key,
      value: isAdd ? null : value,
      invokedAtMs: instant - early + (lag && lag + early),
      endedAtMs: isUnknown ? null : instant + late + lag,
      outcome: isUnknown ? 'unknown' : isWrite ? (outcome as 'ok' | 'refused') : 'ok',
      side: kind === 'copy read' ? other(owner) : owner,
      epoch,
    });
  }
  const rows = new Map([...state].filter(([, value]) => value !== deleted));
  const initial = new Map([0, 1, 2].map((number) => [`counter ${number}`, '0']));
  for (const [key, value] of initial) if (!rows.has(key)) rows.set(key, value);
  for (const read of history.filter(({ kind }) => kind === 'read')) {
    const owned = ownership.find(({ fromMs, untilMs }) => fromMs <= read.invokedAtMs && read.endedAtMs! <= untilMs);
    if (owned !== undefined) read.side = read.op === 'read' ? owned.side : other(owned.side);
  }
  return { history, rows: { monolith: rows, service: new Map(rows) }, captured, initial, ownership };
}
