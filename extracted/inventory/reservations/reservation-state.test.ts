import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type ReservationEvent, type ReservationState, reservationStates, transition } from './reservation-state.ts';

const events = ['confirm', 'release', 'expire', 'return', 'surrender'] as const;
const expiresAt = new Date(1_000);

/** What happens to a reservation, in order of time. */
const story = fc
  .array(fc.record({ event: fc.constantFrom<ReservationEvent>(...events), atMs: fc.integer({ min: 0, max: 2_000 }) }), {
    maxLength: 12,
  })
  .map((steps) => steps.toSorted((a, b) => a.atMs - b.atMs));

function live(steps: readonly { event: ReservationEvent; atMs: number }[]) {
  let state: ReservationState = 'held';
  return steps.map(({ event, atMs }) => {
    const before = state;
    const after = transition({ state, expiresAt }, event, new Date(atMs));
    state = after.state;
    return { event, atMs, before, ...after };
  });
}

describe('a reservation', () => {
  test('puts its stock back once at most, and keeps it from others only while it is held, confirmed or surrendered', () => {
    fc.assert(
      fc.property(story, (steps) => {
        let putBack = 0;
        for (const step of live(steps)) {
          if (step.stock === 'is put back') putBack += 1;
          const keepsStock = ['held', 'confirmed', 'surrendered'].includes(step.state);
          expect(putBack).toBe(keepsStock ? 0 : 1);
        }
      }),
    );
  });

  test('that nobody surrenders is confirmed exactly when the first thing that settled it was a confirmation before its time was over', () => {
    fc.assert(
      fc.property(story, (steps) => {
        const lived = live(steps.filter(({ event }) => event !== 'surrender'));
        const settling = lived.find(({ event, atMs }) => event !== 'expire' || atMs >= expiresAt.getTime());
        const confirmed = lived.some(({ state }) => state === 'confirmed');
        expect(confirmed).toBe(settling?.event === 'confirm' && settling.atMs < expiresAt.getTime());
      }),
    );
  });

  test('answers the same event again with the same state, and does nothing more', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...reservationStates),
        fc.constantFrom(...events),
        fc.integer({ min: 0, max: 2_000 }),
        (state, event, atMs) => {
          const now = new Date(atMs);
          const first = transition({ state, expiresAt }, event, now);
          expect(transition({ state: first.state, expiresAt }, event, now)).toEqual({
            state: first.state,
            stock: 'stays',
          });
        },
      ),
    );
  });

  test('that is released, expired or returned stays so, whatever comes and whenever', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<ReservationState>('released', 'expired', 'returned'),
        fc.constantFrom(...events),
        fc.date({ noInvalidDate: true }),
        (state, event, now) => {
          expect(transition({ state, expiresAt }, event, now)).toEqual({ state, stock: 'stays' });
        },
      ),
    );
  });

  test('is expired for everybody from its time on, whether or not anybody has looked', () => {
    for (const event of ['confirm', 'release', 'expire', 'return'] as const) {
      const late = new Date(expiresAt);
      expect(transition({ state: 'held', expiresAt }, event, late)).toEqual({ state: 'expired', stock: 'is put back' });
    }
    const justBefore = new Date(expiresAt.getTime() - 1);
    expect(transition({ state: 'held', expiresAt }, 'expire', justBefore)).toEqual({ state: 'held', stock: 'stays' });
  });

  test('that is surrendered has no time any more: it is sold or put back by whoever has it, once, and however late', () => {
    const late = new Date(5_000);
    for (const state of ['held', 'confirmed'] as const) {
      expect(transition({ state, expiresAt }, 'surrender', late)).toEqual({ state: 'surrendered', stock: 'stays' });
    }
    const after = (event: ReservationEvent) => transition({ state: 'surrendered', expiresAt }, event, late);
    expect(after('expire')).toEqual({ state: 'surrendered', stock: 'stays' });
    expect(after('confirm')).toEqual({ state: 'confirmed', stock: 'stays' });
    expect(after('release')).toEqual({ state: 'released', stock: 'is put back' });
    expect(after('return')).toEqual({ state: 'returned', stock: 'is put back' });
  });

  test('that is sold is not released, does not expire, and is returned when its order is cancelled, however late', () => {
    for (const event of ['release', 'expire', 'confirm'] as const) {
      expect(transition({ state: 'confirmed', expiresAt }, event, new Date(5_000)).state).toBe('confirmed');
    }
    expect(transition({ state: 'confirmed', expiresAt }, 'return', new Date(5_000))).toEqual({
      state: 'returned',
      stock: 'is put back',
    });
  });
});
