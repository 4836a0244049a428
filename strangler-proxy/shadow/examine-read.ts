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

/**
 * Judges one read. Two answers that differ prove nothing yet: the service's data follows the monolith's by the pipe's lag. So
 * both sides are asked again after 100, 400 and 1,600 ms; where they agree in the end it was lag. The last time
 * the monolith is asked twice at once, and what differs between its own two answers is no fault of the service's; and where
 * its answer has changed in the 1,600 ms before, the service may not have heard of that yet, and nothing is proven.
 * Nothing is learnt of noise on the way: whoever is asked again here was chosen for having differed.
 */
export const examineRead = async (parts: ExamineReadParts): Promise<ReadExamined> => {
  const { compare, noise, askAgain } = parts;
  let { monolith, service } = parts;
  const first = compare(monolith, service);
  noise.compared(pathsOf(first));
  const settled = settle(first, noise);
  if (settled !== null) return { ...settled, monolith, service };

  const place = parts.takePlace();
  if (place === null) return { kind: 'unsettled' };
  try {
    for (const [turn, afterMs] of recheckAfterMs.entries()) {
      await parts.pause(afterMs);
      const isLast = turn === recheckAfterMs.length - 1;
      const [ours, theirs, oursTwice] = await Promise.all([
        askAgain('monolith'),
        askAgain('service'),
        isLast ? askAgain('monolith') : null,
      ]);
      if (ours.kind === 'failed') return { kind: 'failed', side: 'monolith', why: ours.why };
      if (theirs.kind === 'failed') return { kind: 'failed', side: 'service', why: theirs.why };
      if (oursTwice?.kind === 'failed') return { kind: 'failed', side: 'monolith', why: oursTwice.why };
      const before = monolith;
      monolith = ours.answer;
      service = theirs.answer;
      const comparison = compare(monolith, service);
      const again = settle(comparison, noise);
      if (again !== null) return { ...again, outcome: again.outcome === 'noise' ? 'noise' : 'lag', monolith, service };
      if (oursTwice === null) continue;

      const unsteady = pathsOf(compare(monolith, oursTwice.answer));
      const steady = (path: string) => !unsteady.includes(path) && !noise.isNoise(path);
      // One that has just changed may be late anywhere: what was added or taken away shifts all the rest.
      const moves = pathsOf(compare(before, monolith)).some(steady);
      const real = comparison.differences.filter(({ path }) => !noise.isNoise(path));
      const proven = moves ? [] : real.filter(({ path }) => steady(path));
      const outcome =
        proven.length > 0 ? 'different' : real.every(({ path }) => unsteady.includes(path)) ? 'noise' : 'lag';
      return { kind: 'judged', outcome, differences: proven, ignored: comparison.ignored, monolith, service };
    }
    throw new Error('not reached: the last turn returns');
  } finally {
    place.leave();
  }
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
