import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createMailbox } from './mailbox.ts';

const puts = fc.array(fc.record({ key: fc.integer({ min: 1, max: 4 }), take: fc.boolean() }), { maxLength: 60 });

describe('what a slow reader has not taken', () => {
  test('is the newest of each key: nothing older comes after it, and what was replaced is all that is missing', async () => {
    await fc.assert(
      fc.asyncProperty(puts, async (steps) => {
        const box = createMailbox<number, { key: number; n: number }>();
        const newest = new Map<number, number>();
        const seen = new Map<number, number>();
        let [replaced, taken, waiting] = [0, 0, 0];
        const take = async () => {
          const { key, n } = await box.take();
          expect(n).toBeGreaterThan(seen.get(key) ?? -1);
          seen.set(key, n);
          [taken, waiting] = [taken + 1, waiting - 1];
        };
        for (const [n, { key, take: takes }] of steps.entries()) {
          if (box.put(key, { key, n }) === 'replaced') replaced += 1;
          else waiting += 1;
          newest.set(key, n);
          expect(waiting).toBeLessThanOrEqual(4);
          if (takes) await take();
        }
        while (waiting > 0) await take();
        expect(seen).toEqual(newest);
        expect(taken + replaced).toBe(steps.length);
      }),
    );
  });

  test('comes in turn, however often one key changes', async () => {
    const box = createMailbox<string, string>();
    box.put('a', 'a1');
    box.put('b', 'b1');
    box.put('a', 'a2');
    expect([await box.take(), await box.take()]).toEqual(['a2', 'b1']);
  });

  test('ends with the reason, for who waits and for who comes later', async () => {
    const box = createMailbox<string, string>();
    const waiting = box.take();
    box.close(new Error('stopping'));
    await expect(waiting).rejects.toThrow('stopping');
    box.put('a', 'a1');
    await expect(box.take()).rejects.toThrow('stopping');
  });
});
