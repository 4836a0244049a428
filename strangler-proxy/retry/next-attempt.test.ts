import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Side } from '../decide/decision.ts';
import type { ForwardError } from '../forward/forwarder.ts';
import { type FailedAttempt, giveUpAnswer, mostAttempts, mostAttemptsOnSide, nextAttempt } from './next-attempt.ts';

const errors: ForwardError[] = [
  'upstream-refused',
  'upstream-connect-timeout',
  'upstream-reset',
  'upstream-timeout',
  'upstream-bad-response',
  'upstream-body-broken',
  'upstream-body-stalled',
  'client-stalled-request',
  'client-body-too-large',
];
const failure = fc.record({
  error: fc.constantFrom(...errors),
  phase: fc.constantFrom('connect' as const, 'sent' as const, 'answering' as const),
  connection: fc.constantFrom('fresh' as const, 'reused' as const),
});
const request = fc.record({
  access: fc.constantFrom('read' as const, 'write' as const),
  hasBody: fc.boolean(),
  monolithMayServe: fc.boolean(),
});
const side = fc.constantFrom<Side>('monolith', 'service');

const failed = (more: Partial<FailedAttempt>): FailedAttempt => ({
  access: 'read',
  hasBody: false,
  failure: { error: 'upstream-reset', phase: 'sent', connection: 'fresh' },
  attemptsOnSide: 1,
  side: 'service',
  monolithMayServe: true,
  ...more,
});

/** Lets every attempt of a request fail, and returns where each one was made. */
function play(
  start: Side,
  of: { access: 'read' | 'write'; hasBody: boolean; monolithMayServe: boolean },
  failures: FailedAttempt['failure'][],
): Side[] {
  const made: Side[] = [];
  let at = start;
  let attemptsOnSide = 0;
  for (const next of failures) {
    made.push(at);
    attemptsOnSide += 1;
    const step = nextAttempt({ ...of, failure: next, attemptsOnSide, side: at });
    if (step === 'give-up') break;
    if (step === 'monolith') {
      at = 'monolith';
      attemptsOnSide = 0;
    }
  }
  return made;
}

describe('nextAttempt', () => {
  test('a read that fails before its answer began goes to another instance, then to the monolith', () => {
    expect(nextAttempt(failed({}))).toBe('another-instance');
    expect(nextAttempt(failed({ attemptsOnSide: 2 }))).toBe('monolith');
    expect(nextAttempt(failed({ attemptsOnSide: 2, monolithMayServe: false }))).toBe('give-up');
    expect(nextAttempt(failed({ attemptsOnSide: 2, side: 'monolith' }))).toBe('give-up');
  });

  test('a reset on a reused connection leaves the instance in the choice', () => {
    const reused = { error: 'upstream-reset', phase: 'sent', connection: 'reused' } as const;
    expect(nextAttempt(failed({ failure: reused }))).toBe('any-instance');
  });

  test('no request is tried more often than the most attempts, on no side more often than its share', () => {
    fc.assert(
      fc.property(side, request, fc.array(failure, { minLength: 10, maxLength: 10 }), (start, of, failures) => {
        const made = play(start, of, failures);
        expect(made.length).toBeLessThanOrEqual(mostAttempts);
        for (const one of ['monolith', 'service'] as const) {
          expect(made.filter((at) => at === one).length).toBeLessThanOrEqual(mostAttemptsOnSide);
        }
      }),
    );
  });

  test('a write that may have been received is never repeated', () => {
    fc.assert(
      fc.property(side, request, failure, (at, of, how) => {
        fc.pre(how.phase !== 'connect');
        expect(nextAttempt({ ...of, access: 'write', failure: how, attemptsOnSide: 1, side: at })).toBe('give-up');
      }),
    );
  });

  test('a write never changes sides', () => {
    fc.assert(
      fc.property(side, request, fc.array(failure, { minLength: 10 }), (start, of, failures) => {
        expect(new Set(play(start, { ...of, access: 'write' }, failures)).size).toBe(1);
      }),
    );
  });

  test('nothing is tried after an answer has begun, nor after the client’s own failing, nor without the body', () => {
    fc.assert(
      fc.property(side, request, failure, fc.constantFrom(1, 2), (at, of, how, attemptsOnSide) => {
        const bodyIsGone = of.hasBody && how.phase === 'sent';
        fc.pre(how.phase === 'answering' || how.error.startsWith('client-') || bodyIsGone);
        expect(nextAttempt({ ...of, failure: how, attemptsOnSide, side: at })).toBe('give-up');
      }),
    );
  });
});

describe('giveUpAnswer', () => {
  test('is an error status, and 504 exactly for time-outs of the upstream', () => {
    fc.assert(
      fc.property(fc.constantFrom('read' as const, 'write' as const), failure, (access, { error, phase }) => {
        const { status } = giveUpAnswer(access, error, phase);
        expect([408, 413, 502, 504]).toContain(status);
        expect(status === 504).toBe(error === 'upstream-timeout' || error === 'upstream-connect-timeout');
      }),
    );
  });

  test('never invites a client to repeat a write whose fate is unknown', () => {
    for (const error of errors) expect(giveUpAnswer('write', error, 'sent').headers).not.toHaveProperty('Retry-After');
    expect(giveUpAnswer('write', 'upstream-refused', 'connect').headers['Retry-After']).toBe('1');
  });
});
