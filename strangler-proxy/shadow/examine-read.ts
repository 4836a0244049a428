import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import type { Comparison, Difference } from '@strangler/platform/compare/compare-answers.ts';

/** How a pair of answers to one read was judged. */
export type ReadVerdict = {
  kind: 'judged';
  outcome:
    | 'same'
    /** It differs where rules of the slice file say that it may. */
    | 'ignored'
    /** It differs where two answers of the monolith differ as well. */
    | 'noise'
    /** It differed, and does so no longer; or the monolith's own answer does not stand still. */
    | 'lag'
    | 'different';
  differences: readonly Difference[];
  ignored: Comparison['ignored'];
  /** What was compared last. */
  monolith: ComparedAnswer;
  service: ComparedAnswer;
};

export type ReadExamined =
  | ReadVerdict
  /** A side could not be asked, so nothing is known. */
  | { kind: 'failed'; side: 'monolith' | 'service'; why: string }
  /** It differs, and as many as may are being asked again already. */
  | { kind: 'unsettled' };

/** An answer to compare, or why there is none. */
export type AnsweredOrNot = { kind: 'answered'; answer: ComparedAnswer } | { kind: 'failed'; why: string };

export type ExamineReadParts = {
  /** The monolith's and the service's answer to the request, as they were given first. */
  monolith: ComparedAnswer;
  service: ComparedAnswer;
  /** Asks a side again, with the same request. */
  askAgain(side: 'monolith' | 'service'): Promise<AnsweredOrNot>;
  compare(monolith: ComparedAnswer, service: ComparedAnswer): Comparison;
  noise: {
    /** Where the first answers of the two sides differed. */
    compared(differing: readonly string[]): void;
    isNoise(path: string): boolean;
  };
  /** Takes a place among those that are asked again; null where there is none. */
  takePlace(): { leave(): void } | null;
  pause(ms: number): Promise<unknown>;
};

/** When a read that differs is asked again, counted from the time before. What is merely late has arrived by then. */
export const recheckAfterMs = [100, 400, 1_600] as const;
/** One that differs still is asked a last time so much later: the pipe may have stood still for a moment, as where an applier died. */
export const confirmAfterMs = 6_400;

/**
 * Judges one read. Two answers that differ prove nothing yet: the service's data follows the monolith's by the pipe's lag. So
 * both sides are asked again after 100, 400 and 1,600 ms; where they agree in the end it was lag. The last time
 * the monolith is asked twice at once, and what differs between its own two answers is no fault of the service's; and where
 * its answer has changed in the 1,600 ms before, the service may not have heard of that yet, and nothing is proven. What is
 * left is looked at once more after 6,400 ms, and is different where it still differs in the same places.
 * Nothing is learnt of noise on the way: whoever is asked again here was chosen for having differed.
 */
export const examineRead = async (parts: ExamineReadParts): Promise<ReadExamined> => {
  const { compare, noise, askAgain } = parts;
  let { monolith, service } = parts;
  const first = compare(monolith, service);
  noise.compared(pathsOf(first));
  const settled = settle(first, noise);
  if (settled !== null) return { ...settled, monolith, service };

  /** Looks at both sides anew, and twice at the monolith where it matters whether its answer stands still. */
  const look = async (twice: boolean): Promise<Extract<ReadExamined, { kind: 'failed' }> | Look> => {
    const [ours, theirs, oursTwice] = await Promise.all([
      askAgain('monolith'),
      askAgain('service'),
      twice ? askAgain('monolith') : null,
    ]);
    if (ours.kind === 'failed') return { kind: 'failed', side: 'monolith', why: ours.why };
    if (theirs.kind === 'failed') return { kind: 'failed', side: 'service', why: theirs.why };
    if (oursTwice?.kind === 'failed') return { kind: 'failed', side: 'monolith', why: oursTwice.why };
    const changed = pathsOf(compare(monolith, ours.answer));
    monolith = ours.answer;
    service = theirs.answer;
    const unsteady = oursTwice === null ? [] : pathsOf(compare(monolith, oursTwice.answer));
    return { kind: 'looked', comparison: compare(monolith, service), changed, unsteady };
  };
  const judged = (outcome: ReadVerdict['outcome'], { differences, ignored }: Comparison): ReadVerdict => ({
    ...{ kind: 'judged', outcome, differences, ignored, monolith, service },
  });

  const place = parts.takePlace();
  if (place === null) return { kind: 'unsettled' };
  try {
    let suspected = null as readonly string[] | null;
    for (const afterMs of [...recheckAfterMs, confirmAfterMs]) {
      await parts.pause(afterMs);
      const mayProve = afterMs === recheckAfterMs.at(-1) || suspected !== null;
      const looked = await look(mayProve);
      if (looked.kind === 'failed') return looked;
      const { comparison, changed, unsteady } = looked;
      const again = settle(comparison, noise);
      if (again !== null) return { ...again, outcome: again.outcome === 'noise' ? 'noise' : 'lag', monolith, service };
      if (!mayProve) continue;

      const steady = (path: string) => !unsteady.includes(path) && !noise.isNoise(path);
      const real = comparison.differences.filter(({ path }) => !noise.isNoise(path));
      // One that has just changed may be late anywhere: what was added or taken away shifts all the rest.
      const moves = suspected === null && changed.some(steady);
      const among = suspected ?? pathsOf(comparison);
      const proven = moves ? [] : real.filter(({ path }) => steady(path) && among.includes(path));
      if (proven.length === 0) {
        const outcome = real.every(({ path }) => unsteady.includes(path)) ? 'noise' : 'lag';
        return judged(outcome, { ...comparison, differences: [] });
      }
      if (suspected !== null) return judged('different', { ...comparison, differences: proven });
      suspected = proven.map(({ path }) => path);
    }
    throw new Error('not reached: the last look decides');
  } finally {
    place.leave();
  }
};

type Look = {
  kind: 'looked';
  comparison: Comparison;
  /** Where the monolith's answer is another than at the look before, and than its own at the same time. */
  changed: readonly string[];
  unsteady: readonly string[];
};

/** The verdict where nothing is left that would have to be looked at again; null where something is. */
const settle = (
  { differences, ignored }: Comparison,
  noise: ExamineReadParts['noise'],
): Omit<ReadVerdict, 'monolith' | 'service'> | null => {
  if (differences.length === 0) {
    return { kind: 'judged', outcome: ignored.length > 0 ? 'ignored' : 'same', differences: [], ignored };
  }
  return differences.every(({ path }) => noise.isNoise(path))
    ? { kind: 'judged', outcome: 'noise', differences: [], ignored }
    : null;
};

const pathsOf = ({ differences }: Comparison): string[] => [...new Set(differences.map(({ path }) => path))];
