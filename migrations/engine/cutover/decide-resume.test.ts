import { describe, expect, test } from '@jest/globals';
import { cutoverOutcomes } from '@strangler/platform/contracts/cutover-journal.ts';
import type { WriteOwner } from '@strangler/platform/contracts/flag-document.ts';
import fc from 'fast-check';
import { areWhole, decideResume, type Fences } from './decide-resume.ts';

const side = fc.constantFrom('monolith' as const, 'service' as const);
const epoch = fc.integer({ min: 1, max: 6 });
const fence = fc.option(fc.record({ state: fc.constantFrom('open' as const, 'closed' as const), epoch, owner: side }), {
  nil: undefined,
});
const fences: fc.Arbitrary<Fences> = fc.record({ monolith: fence, service: fence });
const writes: fc.Arbitrary<WriteOwner> = fc.oneof(
  side.map((owner) => ({ owner })),
  side.map((from) => ({
    owner: 'held' as const,
    from,
    to: from === 'monolith' ? ('service' as const) : ('monolith' as const),
    deadline: '2026-01-01T00:00:00.000Z',
  })),
);
const flag = fc.record({ writes, epoch });
const journal = fc.option(
  fc.record({ to: side, epoch, outcome: fc.option(fc.constantFrom(...cutoverOutcomes), { nil: null }) }),
  { nil: undefined },
);

describe('what a resume does', () => {
  test('never calls off once the commit is seen, and never finishes when it is not', () => {
    fc.assert(
      fc.property(flag, journal, fences, (flag, journal, fences) => {
        const decision = decideResume(flag, journal, fences);
        const seen = journal !== undefined && flag.writes.owner === journal.to && flag.epoch >= journal.epoch;
        if (seen) expect(decision).not.toBe('call off');
        else expect(decision).not.toBe('finish');
      }),
      { numRuns: 5_000 },
    );
  });

  test('is nothing only where nothing is held, no journal is open, and the owner alone has open tables', () => {
    fc.assert(
      fc.property(flag, journal, fences, (flag, journal, fences) => {
        const { owner } = flag.writes;
        const over = journal === undefined || journal.outcome === 'done' || journal.outcome === 'called off';
        const whole = owner !== 'held' && over && areWhole(owner, fences);
        expect(decideResume(flag, journal, fences) === 'nothing').toBe(whole);
      }),
      { numRuns: 5_000 },
    );
  });

  test('is nothing once it has been done', () => {
    fc.assert(
      fc.property(flag, journal, fences, (flag, journal, fences) => {
        const decision = decideResume(flag, journal, fences);
        if (decision === 'nothing') return;
        const owner = flag.writes.owner === 'held' ? flag.writes.from : flag.writes.owner;
        const other = owner === 'monolith' ? 'service' : 'monolith';
        const after: Fences = { monolith: undefined, service: undefined };
        if (fences[owner] !== undefined) after[owner] = { ...fences[owner], state: 'open' };
        if (fences[other] !== undefined) after[other] = { ...fences[other], state: 'closed' };
        const ended = journal && {
          ...journal,
          outcome: decision === 'finish' ? ('done' as const) : ('called off' as const),
        };
        expect(decideResume({ writes: { owner }, epoch: flag.epoch }, ended, after)).toBe('nothing');
      }),
      { numRuns: 5_000 },
    );
  });

  test('is to call off what is held, whatever the journal says', () => {
    const held = { owner: 'held', from: 'monolith', to: 'service', deadline: '2026-01-01T00:00:00.000Z' } as const;
    const none = { monolith: undefined, service: undefined };
    expect(decideResume({ writes: held, epoch: 3 }, undefined, none)).toBe('call off');
    expect(decideResume({ writes: held, epoch: 3 }, { to: 'service', epoch: 4, outcome: 'done' }, none)).toBe(
      'call off',
    );
  });
});
