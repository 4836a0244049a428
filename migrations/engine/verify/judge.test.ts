import { describe, expect, test } from '@jest/globals';
import { initialVersion, type RowVersion } from '@strangler/platform/contracts/row-message.ts';
import fc from 'fast-check';
import { judge, type MappedTexts, type SourceLook, type TargetLook } from './judge.ts';

const same = (one: readonly (string | null)[], other: readonly (string | null)[]): boolean =>
  JSON.stringify(one) === JSON.stringify(other);
const at = (step: number): RowVersion => (step === 0 ? initialVersion : { epoch: 1, id: String(step) });

/**
 * The life of one row: its image at each step (null: no row), how much of it the outbox still holds, and where source
 * and target stand at each look. Both only move on, and the target never stands before the source.
 */
const life = fc
  .record({
    images: fc.array(fc.option(fc.constantFrom('a', 'b', 'c')), { minLength: 1, maxLength: 6 }),
    letGo: fc.nat(6),
    moves: fc.array(fc.tuple(fc.nat(3), fc.nat(6), fc.nat(3)), { minLength: 1, maxLength: 8 }),
    damaged: fc.option(fc.record({ step: fc.nat(5), image: fc.option(fc.constantFrom('a', 'b', 'x')) })),
  })
  .map((one) => ({ ...one, last: one.images.length - 1 }));

describe('a row that is looked at while it changes', () => {
  test('is called different only if the target does not hold the image of its version', () => {
    fc.assert(
      fc.property(life, ({ images, letGo, moves, damaged, last }) => {
        const imageAt = (step: number): MappedTexts => {
          const image = images[step];
          return image === null || image === undefined ? null : [image];
        };
        const inTarget = (step: number): MappedTexts => {
          if (damaged === null || damaged.step !== step) return imageAt(step);
          return damaged.image === null ? null : [damaged.image];
        };
        let source = 0;
        let target = 0;
        let seen: RowVersion | null = null;
        let look: { step: number; source: SourceLook } | null = null;
        for (const [ahead, behind, afterwards] of moves) {
          source = Math.min(last, source + ahead);
          target = Math.max(target, source - behind);
          if (look === null) {
            // The outbox lets go of nothing that has not been applied.
            const newest = source > Math.min(letGo, target) ? at(source) : null;
            look = { step: source, source: { texts: imageAt(source), newest } };
          }
          // Between the two looks both may go on.
          source = Math.min(last, source + afterwards);
          target = Math.max(target, source - behind);
          const there: TargetLook = { texts: inTarget(target), version: at(target), parked: null };
          const verdict = judge(look.source, there, seen, same);
          const sound = same(inTarget(target) ?? [], imageAt(target) ?? []);
          if (verdict.kind === 'different') expect(sound).toBe(false);
          if (verdict.kind === 'ahead') {
            seen = there.version;
            look = null;
          }
        }
      }),
      { numRuns: 20_000 },
    );
  });

  test('is settled at the next look once nothing changes any more', () => {
    const image = fc.option(fc.constantFrom('a', 'b').map((text) => [text]));
    fc.assert(
      fc.property(image, image, fc.nat(3), fc.boolean(), (expected, found, step, letGo) => {
        const source: SourceLook = { texts: expected, newest: letGo || step === 0 ? null : at(step) };
        const target: TargetLook = { texts: found, version: at(step), parked: null };
        const first = judge(source, target, null, same);
        const verdict = first.kind === 'ahead' ? judge(source, target, at(step), same) : first;
        const equal = JSON.stringify(expected) === JSON.stringify(found);
        expect(verdict.kind).toBe(equal ? 'same' : 'different');
      }),
    );
  });
});

test('a row is behind while a change of it waits for a unique value', () => {
  const source: SourceLook = { texts: ['new'], newest: null };
  const waiting = { texts: ['old'], version: at(3), parked: at(5) };
  expect(judge(source, waiting, at(3), same)).toEqual({ kind: 'behind', missing: at(5) });
  // A copied row waits as well, and there is none in its place.
  const copied = { texts: null, version: initialVersion, parked: initialVersion };
  expect(judge(source, copied, null, same)).toEqual({ kind: 'behind', missing: initialVersion });
});

test('what differs is told by its kind', () => {
  const look = (texts: MappedTexts) => ({ texts, newest: at(2) });
  const there = (texts: MappedTexts) => ({ texts, version: at(2), parked: null });
  expect(judge(look(['a']), there(['b']), null, same)).toMatchObject({ kind: 'different', how: 'changed' });
  expect(judge(look(['a']), there(null), null, same)).toMatchObject({ kind: 'different', how: 'missing' });
  expect(judge(look(null), there(['b']), null, same)).toMatchObject({ kind: 'different', how: 'extra' });
});
