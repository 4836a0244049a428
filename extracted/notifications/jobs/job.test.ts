import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { failureOf } from '../mail/smtp-sender.ts';
import { notificationKinds } from '../notifications/wording.ts';
import { afterFailure, begin, type Failure, isLost, type Job, mostDoubtful, priorityOf } from './job.ts';

type State = Pick<Job, 'state' | 'leaseUntil' | 'doubtful' | 'runAt'>;

const leaseMs = 100;

describe('a job', () => {
  test('whoever tries it, however attempts end or die: no two run at once, none runs after it is over, and no more than two can have taken effect', () => {
    const end = fc.constantFrom<'done' | Failure | 'dies'>('done', 'for now', 'for good', 'unknown', 'dies');
    const tries = fc.array(fc.record({ afterMs: fc.nat({ max: 150 }), takesMs: fc.nat({ max: 90 }), end }), {
      maxLength: 30,
    });
    fc.assert(
      fc.property(tries, (all) => {
        const job: State = { state: 'pending', leaseUntil: null, doubtful: 0, runAt: new Date(0) };
        let nowMs = 0;
        let busyUntilMs = 0;
        let mayHaveTakenEffect = 0;
        for (const attempt of all) {
          nowMs += attempt.afterMs;
          const begun = begin(job, new Date(nowMs));
          if (begun.outcome === 'over') expect(['done', 'failed']).toContain(job.state);
          if (begun.outcome === 'give up') Object.assign(job, { state: 'failed', doubtful: begun.doubtful });
          if (begun.outcome !== 'run') continue;
          expect(nowMs).toBeGreaterThanOrEqual(busyUntilMs);
          Object.assign(job, { state: 'running', doubtful: begun.doubtful, leaseUntil: new Date(nowMs + leaseMs) });
          if (attempt.end === 'done' || attempt.end === 'unknown' || attempt.end === 'dies') mayHaveTakenEffect += 1;
          if (attempt.end === 'dies') {
            busyUntilMs = nowMs + leaseMs;
            continue;
          }
          nowMs += attempt.takesMs;
          busyUntilMs = nowMs;
          Object.assign(job, { leaseUntil: null });
          if (attempt.end === 'done') Object.assign(job, { state: 'done' });
          else Object.assign(job, afterFailure(attempt.end, { last: false, doubtful: job.doubtful }));
        }
        expect(mayHaveTakenEffect).toBeLessThanOrEqual(mostDoubtful + 1);
      }),
      { numRuns: 2_000 },
    );
  });

  test('is put in line again only where nobody has it and its time is long over', () => {
    const now = new Date(1_000_000);
    const at = (ms: number) => new Date(now.getTime() + ms);
    const state = (state: Job['state'], runAt: Date, leaseUntil: Date | null = null) => ({ state, runAt, leaseUntil });
    expect(isLost(state('pending', at(-101)), now, 100)).toBe(true);
    expect(isLost(state('pending', at(-99)), now, 100)).toBe(false);
    expect(isLost(state('pending', at(50)), now, 100)).toBe(false);
    expect(isLost(state('running', at(-500), at(10)), now, 100)).toBe(false);
    expect(isLost(state('running', at(-500), at(-101)), now, 100)).toBe(true);
    for (const over of ['done', 'failed'] as const) expect(isLost(state(over, at(-9_999)), now, 100)).toBe(false);
  });

  test('about money that was not taken goes before all others, digests after all', () => {
    const others = [...notificationKinds.filter((kind) => kind !== 'payment_failed'), 'invoice'] as const;
    for (const other of others) {
      expect(priorityOf('payment_failed')).toBeLessThan(priorityOf(other));
      expect(priorityOf(other)).toBeLessThan(priorityOf('digest'));
    }
  });
});

test('what the mail server says decides; where it says nothing, how far the message had come', () => {
  expect(failureOf('the message is under way', { responseCode: 451 })).toBe('for now');
  expect(failureOf('the message is under way', { responseCode: 550 })).toBe('for good');
  expect(failureOf('before the message', { responseCode: 421 })).toBe('for now');
  expect(failureOf('before the message', {})).toBe('for now');
  expect(failureOf('the message is under way', {})).toBe('unknown');
});
