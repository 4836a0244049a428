import { describe, expect, test } from '@jest/globals';
import { cutoverJournalSchema, journalSteps } from '@strangler/platform/contracts/cutover-journal.ts';
import fc from 'fast-check';
import { beginJournal, beginStep, describeStep, endJournal, hasBegun, isOpen } from './journal.ts';

const at = (n: number) => new Date(Date.UTC(2026, 0, 1) + n);
const fresh = () => beginJournal({ slice: 'shop', epoch: 4 }, 'service', { by: 'ada', reason: 'why not' });

describe('a journal', () => {
  test('begins open, under the next epoch, from the other side', () => {
    expect(fresh()).toMatchObject({
      from: 'monolith',
      to: 'service',
      fromEpoch: 4,
      epoch: 5,
      outcome: null,
      steps: [],
    });
    expect(isOpen(fresh())).toBe(true);
  });

  test('has at most its last step open, whatever steps follow each other, and stays of its schema', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...journalSteps), { maxLength: 12 }), (steps) => {
        let journal = fresh();
        for (const [n, step] of steps.entries()) journal = describeStep(beginStep(journal, step, at(n)), `${n}`);
        expect(journal.steps.map(({ step }) => step)).toEqual(steps);
        expect(journal.steps.filter(({ endedAt }) => endedAt === null)).toHaveLength(Math.min(1, steps.length));
        expect(journal.steps.every(({ endedAt }, n) => endedAt === null || endedAt === at(n + 1).toISOString())).toBe(
          true,
        );
        for (const step of journalSteps) expect(hasBegun(journal, step)).toBe(steps.includes(step));
        const ended = endJournal(journal, 'called off', 'so', at(99));
        expect(ended.steps.every(({ endedAt }) => endedAt !== null)).toBe(true);
        expect(isOpen(ended)).toBe(false);
        expect(cutoverJournalSchema.parse(JSON.parse(JSON.stringify(ended)))).toEqual(ended);
      }),
    );
  });

  test('is open still while it waits for a resume, and keeps why', () => {
    const waiting = endJournal(fresh(), 'waiting for resume', 'Consul is away', at(1));
    expect(isOpen(waiting)).toBe(true);
    expect(endJournal(waiting, 'done', null, at(2)).why).toBe('Consul is away');
  });
});
