import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { BodyCopy } from './body-copy.ts';
import { createByteBudget } from './byte-budget.ts';
import { createSlots } from './slots.ts';
import { leastShare, nextShare } from './spare-time.ts';
import { createWaitingLine } from './waiting-line.ts';

const chunks = fc.array(
  fc.uint8Array({ maxLength: 700 }).map((bytes) => Buffer.from(bytes)),
  { maxLength: 30 },
);

describe('the copy of a body', () => {
  test('is the body, however it was cut, and takes no more than twice its size or a kilobyte', () => {
    fc.assert(
      fc.property(chunks, (parts) => {
        const budget = createByteBudget(Number.POSITIVE_INFINITY);
        const copy = new BodyCopy(100_000, budget);
        for (const part of parts) expect(copy.add(part)).toBe('kept');
        const whole = Buffer.concat(parts);
        expect(copy.bytes.equals(whole)).toBe(true);
        expect(budget.taken()).toBeLessThanOrEqual(Math.max(1_024, 2 * whole.length));
        copy.free();
        copy.free();
        expect(budget.taken()).toBe(0);
      }),
    );
  });

  test('never goes past its bound nor past what all copies may take', () => {
    fc.assert(
      fc.property(chunks, fc.nat(4_000), fc.nat(4_000), (parts, maxBytes, memory) => {
        const budget = createByteBudget(memory);
        const copy = new BodyCopy(maxBytes, budget);
        let length = 0;
        for (const part of parts) {
          const kept = copy.add(part);
          if (kept !== 'kept') {
            if (kept === 'too-large') expect(length + part.length).toBeGreaterThan(maxBytes);
            break;
          }
          length += part.length;
          expect(length).toBeLessThanOrEqual(maxBytes);
          expect(budget.taken()).toBeLessThanOrEqual(memory);
        }
        copy.free();
        expect(budget.taken()).toBe(0);
      }),
    );
  });

  test('does not keep alive what the body came in', () => {
    const copy = new BodyCopy(100, createByteBudget(10_000));
    const packet = Buffer.alloc(64 * 1_024, 'x');
    copy.add(packet.subarray(0, 1));
    expect(copy.bytes.buffer).not.toBe(packet.buffer);
  });
});

describe('the line of copies that wait', () => {
  test('gives them back in their order, takes no more than it has room for, and leaves the old ones behind', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.nat(50), fc.constant('take' as const)), { maxLength: 200 }), (steps) => {
        let now = 0;
        let last = -1;
        let entered = 0;
        let out = 0;
        let old = 0;
        const line = createWaitingLine<{ number: number; atMs: number }>({
          maxWaiting: 8,
          maxAgeMs: 100,
          onTooOld: ({ atMs }) => {
            old += 1;
            expect(now - atMs).toBeGreaterThan(100);
          },
          nowMs: () => now,
        });
        for (const step of steps) {
          if (step === 'take') {
            const next = line.next();
            if (next === null) continue;
            out += 1;
            expect(next.number).toBeGreaterThan(last);
            expect(now - next.atMs).toBeLessThanOrEqual(100);
            last = next.number;
          } else {
            now += step;
            const before = line.size();
            const taken = line.enter({ number: entered, atMs: now });
            expect(taken).toBe(before < 8);
            if (taken) entered += 1;
          }
        }
        expect(line.size()).toBe(entered - out - old);
        expect(line.leaveAll()).toHaveLength(entered - out - old);
        expect(line.size()).toBe(0);
      }),
    );
  });
});

describe('slots', () => {
  test('let so many in at a time, the others in their order, also after one that failed', async () => {
    const slots = createSlots(2);
    const order: number[] = [];
    let inside = 0;
    let most = 0;
    const work = (number: number) =>
      slots.run(async () => {
        inside += 1;
        most = Math.max(most, inside);
        order.push(number);
        await Promise.resolve();
        inside -= 1;
        if (number === 1) throw new Error('one fails');
      });
    const all = await Promise.allSettled([0, 1, 2, 3, 4].map(work));
    expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled']);
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(most).toBe(2);
    expect(slots.taken()).toBe(0);
  });
});

describe('time to spare', () => {
  test('is given up at once by a worker that is busy, and taken back bit by bit', () => {
    let share = 1;
    for (let look = 0; look < 10; look += 1) share = nextShare(share, 0.99, 0.75);
    expect(share).toBe(leastShare);
    expect(nextShare(share, 0.7, 0.75)).toBe(share);
    for (let look = 0; look < 20; look += 1) share = nextShare(share, 0.3, 0.75);
    expect(share).toBe(1);
  });

  test('is a share, and all of it where nobody asks how busy the worker is', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (share, busy) => {
          const next = nextShare(share, busy, 0.75);
          expect(next).toBeGreaterThanOrEqual(0);
          expect(next).toBeLessThanOrEqual(1);
          expect(nextShare(share, busy, 1)).toBe(1);
        },
      ),
    );
  });
});
