import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { whyNotLinearisable } from './linearisable.ts';
import type { Operation } from './operation.ts';

const operation = (over: Partial<Operation>): Operation => ({
  id: 0,
  client: 'c',
  op: 'op',
  kind: 'write',
  key: 'k',
  value: null,
  invokedAtMs: 0,
  endedAtMs: 1,
  outcome: 'ok',
  side: null,
  epoch: null,
  ...over,
});
const write = (value: string, from: number, to: number | null, outcome: Operation['outcome'] = 'ok') =>
  operation({ kind: 'write', value, invokedAtMs: from, endedAtMs: to, outcome });
const read = (value: string, from: number, to: number) =>
  operation({ kind: 'read', value, invokedAtMs: from, endedAtMs: to });

/** Tries every order that keeps what came strictly after what: J. M. Wing and C. Gong, 1993, without its memory. */
const isLinearisableByTrying = (history: readonly Operation[], initial: string): boolean => {
  const end = ({ outcome, endedAtMs }: Operation) =>
    outcome === 'ok' ? (endedAtMs ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
  const from = (left: readonly Operation[], held: string): boolean => {
    if (left.every(({ outcome, kind }) => kind === 'write' && outcome !== 'ok')) return true;
    return left.some((next) => {
      if (left.some((other) => other !== next && end(other) < next.invokedAtMs)) return false;
      if (next.kind === 'read' && next.value !== held) return false;
      return from(
        left.filter((other) => other !== next),
        next.kind === 'write' ? next.value! : held,
      );
    });
  };
  return from(history, initial);
};

/** Few instants, so that operations meet and touch; each write once. */
const histories = fc
  .array(
    fc.record({
      isRead: fc.boolean(),
      value: fc.integer({ min: 0, max: 3 }),
      from: fc.integer({ min: 0, max: 12 }),
      takes: fc.integer({ min: 0, max: 6 }),
      isUnknown: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    }),
    { maxLength: 7 },
  )
  .map((drawn) => {
    const seen = new Set<number>();
    return drawn.flatMap(({ isRead, value, from, takes, isUnknown }) => {
      if (isRead) return [read(`v${value}`, from, from + takes)];
      if (value === 0 || seen.has(value)) return [];
      seen.add(value);
      return [write(`v${value}`, from, isUnknown ? null : from + takes, isUnknown ? 'unknown' : 'ok')];
    });
  });

describe('a register of unique values', () => {
  test('is found linearisable exactly where some order explains the history', () => {
    fc.assert(
      fc.property(histories, (history) => {
        expect(whyNotLinearisable(history, 'v0') === null).toBe(isLinearisableByTrying(history, 'v0'));
      }),
      { numRuns: 5_000 },
    );
  });

  test('has no read of what was overwritten before it began', () => {
    const history = [write('a', 0, 1), write('b', 2, 3), read('a', 4, 5)];
    expect(whyNotLinearisable(history, null)).toContain('while another one was there throughout');
  });

  test('does not go back to the value before, once a later one was read', () => {
    const history = [write('a', 0, 1), write('b', 2, 9), read('b', 3, 4), read('a', 5, 6)];
    expect(whyNotLinearisable(history, null)).not.toBeNull();
  });

  test('has no read of what nobody has written, or of what is written later', () => {
    expect(whyNotLinearisable([read('a', 0, 1)], 'v0')).toContain('nobody has written that');
    expect(whyNotLinearisable([read('a', 0, 1), write('a', 2, 3)], 'v0')).toContain('before the write began');
  });

  test('takes a write without an answer for done or not done, whichever explains the reads', () => {
    const unknown = write('b', 2, null, 'unknown');
    expect(whyNotLinearisable([write('a', 0, 1), unknown, read('a', 50, 51)], null)).toBeNull();
    expect(whyNotLinearisable([write('a', 0, 1), unknown, read('b', 50, 51)], null)).toBeNull();
    expect(whyNotLinearisable([write('a', 0, 1), unknown, read('b', 5, 6), read('a', 7, 8)], null)).not.toBeNull();
  });

  test('of ten thousand operations is judged in a moment', () => {
    const history = Array.from({ length: 5_000 }, (_, n) => [
      write(`${n}`, n * 10, n * 10 + 4),
      read(`${n}`, n * 10 + 5, n * 10 + 9),
    ]).flat();
    expect(whyNotLinearisable(history, null)).toBeNull();
    expect(whyNotLinearisable([...history, read('17', 40_000, 40_001)], null)).not.toBeNull();
  });
});
