import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  beginning,
  comparePositions,
  decideHandover,
  delivererOf,
  formatMark,
  type Handover,
  MarkError,
  type Position,
  parseMark,
  sides,
} from './deliverer.ts';

const positions = fc.record({ epoch: fc.integer({ min: 0, max: 3 }), id: fc.bigInt({ min: 0n, max: 12n }) });
const side = fc.constantFrom(...sides);

/** What operators ask for and what comes, in any order. */
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('event' as const), position: positions }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('handover' as const),
        side,
        from: positions,
        behind: fc.integer({ min: 0, max: 2 }),
      }),
    },
  ),
  { maxLength: 60 },
);

type Handled = { position: Position; deliveries: number };

/** The service as far as it matters here: what it does with each event, and what a handover makes of what it has. */
function run(all: typeof steps extends fc.Arbitrary<infer T> ? T : never): {
  handled: Handled[];
  handovers: Handover[];
} {
  const handovers: Handover[] = [beginning];
  const handled: Handled[] = [];
  for (const step of all) {
    if (step.kind === 'event') {
      const { position } = step;
      if (handled.some((one) => comparePositions(one.position, position) === 0)) continue;
      const deliveries = delivererOf({ position, mark: undefined }, handovers) === 'service' ? 1 : 0;
      handled.push({ position, deliveries });
      continue;
    }
    const delivered = handled.filter(({ deliveries }) => deliveries > 0).map(({ position }) => position);
    const highestDelivered = delivered.sort(comparePositions).at(-1);
    const expectedSeq = handovers.length - 1 - step.behind;
    const decision = decideHandover({ expectedSeq, side: step.side, from: step.from }, handovers, { highestDelivered });
    if (decision.outcome !== 'taken') continue;
    handovers.push(decision.handover);
    if (decision.handover.side !== 'service') continue;
    for (const one of handled) {
      if (one.deliveries === 0 && comparePositions(one.position, decision.handover.from) >= 0) one.deliveries += 1;
    }
  }
  return { handled, handovers };
}

describe('who delivers', () => {
  test('whatever comes and is asked for in whatever order: the service has delivered exactly what is its own by the last word, once', () => {
    fc.assert(
      fc.property(steps, (all) => {
        const { handled, handovers } = run(all);
        for (const { position, deliveries } of handled) {
          expect(deliveries).toBe(delivererOf({ position, mark: undefined }, handovers) === 'service' ? 1 : 0);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('a handover changes nothing of what is before its position', () => {
    fc.assert(
      fc.property(steps, positions, (all, position) => {
        const { handovers } = run(all);
        const told = { position, mark: undefined };
        for (let known = 1; known < handovers.length; known += 1) {
          const next = handovers[known] as Handover;
          if (comparePositions(position, next.from) >= 0) continue;
          expect(delivererOf(told, handovers.slice(0, known + 1))).toBe(delivererOf(told, handovers.slice(0, known)));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('of two operators with the same expectation one wins', () => {
    fc.assert(
      fc.property(steps, side, positions, positions, (all, wanted, one, other) => {
        const { handovers } = run(all);
        const expectedSeq = handovers.length - 1;
        const nothing = { highestDelivered: undefined };
        const first = decideHandover({ expectedSeq, side: wanted, from: one }, handovers, nothing);
        if (first.outcome !== 'taken') return;
        const second = { expectedSeq, side: wanted, from: other };
        expect(decideHandover(second, [...handovers, first.handover], nothing).outcome).toBe('conflict');
      }),
    );
  });

  test('a marked event is delivered by one side, however old the flags are that its writer knows and whatever is handed over', () => {
    // Every process of the shop obeys the newest of the changes that it has heard of, and marks what it writes by it.
    const world = fc.record({
      owners: fc.array(side, { minLength: 1, maxLength: 8 }),
      writes: fc.array(fc.record({ knows: fc.nat({ max: 7 }), position: positions }), { maxLength: 40 }),
      all: steps,
    });
    fc.assert(
      fc.property(world, ({ owners, writes, all }) => {
        const { handovers } = run(all);
        for (const { knows, position } of writes) {
          const at = Math.min(knows, owners.length - 1);
          const obeyed = owners[at]!;
          const shopDelivers = obeyed === 'monolith';
          const mark = parseMark(formatMark({ side: obeyed, epoch: at + 1 }));
          const serviceDelivers = delivererOf({ position, mark }, handovers) === 'service';
          expect(serviceDelivers).toBe(!shopDelivers);
        }
      }),
    );
  });

  test('a mark that is none is refused', () => {
    for (const text of ['', 'service', 'service/0', 'service/-1', 'other/1', 'service/1 ', 7, null]) {
      expect(() => parseMark(text)).toThrow(MarkError);
    }
    expect(parseMark(undefined)).toBeUndefined();
  });
});
