import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Captured } from './captured-order.ts';
import { checkCutovers, type Evidence } from './check-cutovers.ts';
import { deleted, type Operation } from './operation.ts';
import { faultlessRuns } from './simulated-run.fixture.ts';

const write = (over: Partial<Operation> = {}): Operation => ({
  id: 1,
  client: 'admin',
  op: 'patch price',
  kind: 'write',
  key: 'product A',
  value: '100',
  invokedAtMs: 10,
  endedAtMs: 20,
  outcome: 'ok',
  side: 'monolith',
  epoch: 1,
  ...over,
});
const row = (over: Partial<Captured> = {}): Captured => ({
  side: 'monolith',
  key: 'product A',
  value: '100',
  epoch: 1,
  id: 1n,
  ...over,
});
const evidence = (over: Partial<Evidence> & { held?: string | [string, string] }): Evidence => {
  const { held = '100' } = over;
  const [monolith, service] = typeof held === 'string' ? [held, held] : held;
  const side = (value: unknown) => new Map(value === deleted ? [] : [['product A', String(value)]]);
  return { history: [write()], captured: [row()], rows: { monolith: side(monolith), service: side(service) }, ...over };
};

describe('a run of cut-overs', () => {
  test('in which nothing went wrong is found faultless, whoever met whom', () => {
    fc.assert(
      fc.property(faultlessRuns, (run) => {
        const { counterexamples, ok } = checkCutovers(run);
        expect(counterexamples).toEqual([]);
        expect(ok).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test('that has lost an acknowledged write is found guilty, whichever write it was', () => {
    fc.assert(
      fc.property(faultlessRuns, fc.nat(), (run, choice) => {
        const writes = run.history.filter(({ kind, outcome }) => kind === 'write' && outcome === 'ok');
        fc.pre(writes.length > 0);
        const lost = writes[choice % writes.length]!;
        const captured = run.captured.filter(({ key, value }) => key !== lost.key || value !== lost.value);
        expect(checkCutovers({ ...run, captured })).toMatchObject({ ok: false });
      }),
    );
  });

  test('that has lost a write on one side only is found guilty', () => {
    fc.assert(
      fc.property(faultlessRuns, fc.boolean(), (run, isMonolith) => {
        const side = isMonolith ? 'monolith' : 'service';
        const lost = [...run.rows[side].keys()].find((key) => key.startsWith('product'));
        fc.pre(lost !== undefined);
        const rows = { ...run.rows, [side]: new Map([...run.rows[side]].filter(([key]) => key !== lost)) };
        expect(checkCutovers({ ...run, rows })).toMatchObject({ ok: false, differing: 1 });
      }),
    );
  });

  test('that did a write twice, on whichever side, is found guilty', () => {
    fc.assert(
      fc.property(faultlessRuns, fc.nat(), fc.boolean(), (run, choice, isMonolith) => {
        const overwritten = run.captured.filter(
          (row, at) => row.key.startsWith('product') && run.captured.findLastIndex(({ key }) => key === row.key) > at,
        );
        fc.pre(overwritten.length > 0);
        const again = overwritten[choice % overwritten.length]!;
        const epoch = Math.max(...run.captured.map((row) => row.epoch)) + 1;
        const side = isMonolith ? 'monolith' : 'service';
        const captured = [...run.captured, { ...again, epoch, side } as const];
        expect(checkCutovers({ ...run, captured })).toMatchObject({ ok: false });
      }),
    );
  });
});

describe('found guilty', () => {
  test('a write that was acknowledged and stands nowhere', () => {
    const { acknowledged, counterexamples } = checkCutovers(evidence({ held: deleted, captured: [] }));
    expect(acknowledged).toEqual({ total: 1, missing: 1, doubled: 0 });
    expect(counterexamples[0]).toMatch(
      /^acknowledged and missing: #1 admin: patch price "100" of product A, ok by monolith/,
    );
  });

  test('a write that was acknowledged and overwritten by one that came before it', () => {
    const earlier = write({ id: 2, value: '90', invokedAtMs: 1, endedAtMs: 5 });
    const found = checkCutovers(
      evidence({ held: '90', history: [earlier, write()], captured: [row({ value: '90', id: 2n }), row()] }),
    );
    expect(found).toMatchObject({ ok: false, acknowledged: { missing: 1 }, notLinearisable: 1 });
  });

  test('a write that is in both outboxes', () => {
    const between = write({ id: 2, value: '110', invokedAtMs: 12, endedAtMs: 30 });
    const captured = [row(), row({ value: '110', id: 2n }), row({ side: 'service', epoch: 2 })];
    expect(checkCutovers(evidence({ history: [write(), between], captured })).acknowledged.doubled).toBe(1);
  });

  test('a write that was refused and is there', () => {
    const found = checkCutovers(evidence({ history: [write({ outcome: 'refused' })] }));
    expect(found).toMatchObject({ ok: false, refused: { total: 1, present: 1 }, acknowledged: { total: 0 } });
  });

  test('a write of unknown outcome that is on one side only', () => {
    const history = [write({ outcome: 'unknown', endedAtMs: null })];
    expect(checkCutovers(evidence({ history, held: ['100', deleted] }))).toMatchObject({
      ok: false,
      unknown: { total: 1, applied: 1, split: 1 },
      differing: 1,
    });
    expect(checkCutovers(evidence({ history }))).toMatchObject({ ok: true, unknown: { applied: 1 } });
    expect(checkCutovers(evidence({ history, held: deleted, captured: [] }))).toMatchObject({ ok: true });
  });

  test('a row torn from two writes', () => {
    expect(checkCutovers(evidence({ held: '100 named as 90' }))).toMatchObject({ ok: false, unexplained: 1 });
  });

  test('two owners in one epoch', () => {
    const second = write({ id: 2, value: '110', invokedAtMs: 30, endedAtMs: 40, side: 'service' });
    const captured = [row(), row({ side: 'service', value: '110', id: 7n })];
    const found = checkCutovers(evidence({ held: '110', history: [write(), second], captured }));
    expect(found).toMatchObject({ ok: false, bothOwners: 1, acknowledged: { missing: 0, doubled: 0 } });
    expect(found.counterexamples).toEqual([
      'both owners: in epoch 1 the monolith took "100" of product A as outbox row 1 and the service took "110" of product A as outbox row 7',
    ]);
  });

  test("a read of the owner's that has missed an acknowledged write, and not one of a copy's", () => {
    const history = [
      write({ id: 1, value: '90', invokedAtMs: 1, endedAtMs: 5 }),
      write({ id: 2 }),
      write({ id: 3, kind: 'read', op: 'read', value: '90', invokedAtMs: 30, endedAtMs: 40, side: 'service' }),
    ];
    const run = { history, captured: [row({ value: '90' }), row({ id: 2n })] };
    expect(checkCutovers(evidence(run))).toMatchObject({ ok: false, notLinearisable: 1 });
    const ownership = [{ side: 'monolith', fromMs: 0, untilMs: 100 } as const];
    expect(checkCutovers(evidence({ ...run, ownership }))).toMatchObject({ ok: true, staleOwnReads: 1 });
  });

  test('a counter that has lost an add, or done one twice', () => {
    const add = write({ kind: 'add', op: 'job', value: null });
    const counted = (held: string, operations: Operation[]) =>
      checkCutovers(evidence({ held, history: operations, captured: [], initial: new Map([['product A', '7']]) }));
    expect(counted('9', [add, { ...add, id: 2 }])).toMatchObject({ ok: true, acknowledged: { total: 2 } });
    expect(counted('8', [add, { ...add, id: 2 }])).toMatchObject({ ok: false, acknowledged: { missing: 2 } });
    expect(counted('9', [add])).toMatchObject({ ok: false, acknowledged: { doubled: 2 } });
    const unknown = { ...add, id: 2, outcome: 'unknown', endedAtMs: null } as const;
    expect(counted('9', [add, unknown])).toMatchObject({ ok: true, unknown: { total: 1, applied: 1 } });
    expect(counted('8', [add, { ...add, outcome: 'refused' }])).toMatchObject({ ok: true });
  });
});

test('two writes of a key that write the same cannot be judged', () => {
  expect(() => checkCutovers(evidence({ history: [write(), write({ id: 2 })] }))).toThrow(/a value of its own/);
});
