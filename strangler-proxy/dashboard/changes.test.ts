import { describe, expect, test } from '@jest/globals';
import { type FlagDocument, initialFlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { isOver, orderSilentMs, orderTakenWithinMs } from '@strangler/platform/contracts/slice-order.ts';
import { FlagEditRefused } from '@strangler/platform/flags/edit-flag.ts';
import { planChange } from './changes.ts';
import { orderOf } from './orders.ts';

const change = { id: 'c1', by: 'ada', at: '2026-01-01T00:00:00.000Z', reason: '' };
const at = (stage: FlagDocument['stage'], percent: number): FlagDocument => ({
  ...initialFlagDocument('catalog', change),
  stage,
  reads: { percent, cohorts: [] },
});
const keepsData = { tables: [{}] as never[] };

describe('the plan of a change', () => {
  test('says what comes and stands on the change that it was made from', () => {
    const plan = planChange(keepsData, at('shadow', 0), { readsPercent: 10 });
    expect(plan).toMatchObject({ before: { readsPercent: 0 }, after: { readsPercent: 10 }, basedOn: 'c1' });
    expect(plan.consequences[0]).toContain('10 % of users are answered by the service');
    expect(plan.command).toContain('flag set catalog --reads 10');
  });

  test('says of a canary that it bakes anew on the way up, and stops on the way down', () => {
    const said = (percent: number) =>
      planChange(keepsData, at('canary', 25), { readsPercent: percent }).consequences.join(' ');
    expect(said(50)).toContain('bakes anew');
    expect(said(5)).toContain('stops here');
  });

  test('is refused where data is not proven, where the service owns the writes, and while writes are held', () => {
    const owned: FlagDocument = { ...at('writes', 100), writes: { owner: 'service' } };
    const deadline = '2026-01-01T00:00:05.000Z';
    const held: FlagDocument = {
      ...at('reads', 100),
      writes: { owner: 'held', from: 'monolith', to: 'service', deadline },
    };
    for (const document of [at('sync', 0), owned, held]) {
      expect(() => planChange(keepsData, document, { readsPercent: 50 })).toThrow(FlagEditRefused);
    }
    expect(() => planChange({ tables: [] }, at('monolith', 0), { readsPercent: 50 })).not.toThrow();
  });
});

describe('an order', () => {
  const body = { what: 'advance', reason: 'time', basedOn: 'c1' } as const;
  const now = new Date('2026-01-01T00:00:10.000Z');

  test('names the step from where the slice stands', () => {
    expect(orderOf(at('reads', 100), body, 'ada', now)).toMatchObject({
      from: 'reads',
      to: 'writes',
      by: 'ada',
      state: 'asked',
    });
    expect(orderOf(at('writes', 100), { ...body, what: 'rollback' }, 'ada', now)).toMatchObject({ to: 'reads' });
  });

  test('is not given for what cannot be taken back, for no step at all, nor on what was changed since', () => {
    const status = (stage: FlagDocument['stage'], more: object = {}) => {
      try {
        return orderOf(at(stage, 100), { ...body, ...more }, 'ada', now);
      } catch (error) {
        return (error as { status: number }).status;
      }
    };
    expect(status('writes')).toBe(422);
    expect(status('complete', { what: 'rollback' })).toBe(422);
    expect(status('monolith', { what: 'rollback' })).toBe(422);
    expect(status('reads', { basedOn: 'c0' })).toBe(409);
  });

  test('makes room for another once it has ended, was not taken in time, or nothing is heard of it', () => {
    const order = orderOf(at('reads', 100), body, 'ada', now);
    const nowMs = now.getTime();
    expect(isOver(order, nowMs)).toBe(false);
    expect(isOver(order, nowMs + orderTakenWithinMs + 1)).toBe(true);
    expect(isOver({ ...order, state: 'running' }, nowMs + orderSilentMs)).toBe(false);
    expect(isOver({ ...order, state: 'running' }, nowMs + orderSilentMs + 1)).toBe(true);
    expect(isOver({ ...order, state: 'refused' }, nowMs)).toBe(true);
  });
});
