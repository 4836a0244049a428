import { type Comparison, compareAnswers } from '@strangler/platform/compare/compare-answers.ts';
import type { Side } from '../decide/decision.ts';
import type { Asked } from './ask.ts';
import type { AskSides, NotAsked } from './ask-sides.ts';
import { comparedAnswer, comparedAnswers } from './compared-answer.ts';
import { type AnsweredOrNot, examineRead } from './examine-read.ts';
import { rawLive, resultOf, type Sample, type ShadowAccount, type Telling } from './sample.ts';
import type { ShadowBounds } from './shadow.ts';
import type { LiveAnswer } from './tap.ts';
import { createWaitingLine } from './waiting-line.ts';

export type ReadComparisonOptions = {
  sides: Pick<AskSides, 'ask'>;
  bounds: ShadowBounds;
  account: ShadowAccount;
  telling: Telling;
  /** Whether the slice of a sample is still compared. */
  isOn(sample: Sample): boolean;
  /** In [0, 1), like Math.random. */
  random: () => number;
  pause: (ms: number) => Promise<unknown>;
};

/** Reads whose live answer is there: they wait for a place, and then the other side is asked the same. */
export type ReadComparison = {
  /** False: there is no room. */
  enter(sample: Sample, answer: LiveAnswer): boolean;
  figures(): { waiting: number; asking: number; rechecks: number };
  /** Those that still wait; they wait no more. */
  leaveAll(): Sample[];
};

export const createReadComparison = (options: ReadComparisonOptions): ReadComparison => {
  const { sides, bounds, account, telling, isOn, random, pause } = options;
  const { drop, find, fail, timed } = telling;
  const line = createWaitingLine<{ sample: Sample; answer: LiveAnswer }>({
    maxWaiting: bounds.maxWaiting,
    maxAgeMs: bounds.maxWaitMs,
    onTooOld: ({ sample }) => drop(sample, 'too-old'),
    nowMs: () => performance.now(),
  });
  let asking = 0;
  let rechecks = 0;
  const rechecksOf = new Map<string, number>();
  let pumpIsDue = false;

  /** Not in the tick in which a live answer went out. */
  function pumpSoon(): void {
    if (pumpIsDue || asking >= bounds.concurrency) return;
    pumpIsDue = true;
    setImmediate(() => {
      pumpIsDue = false;
      while (asking < bounds.concurrency) {
        const next = line.next();
        if (next === null) return;
        asking += 1;
        void compare(next.sample, next.answer).catch(telling.defect(next.sample));
      }
    });
  }

  const answered = (): void => {
    asking -= 1;
    if (line.size() > 0) pumpSoon();
  };

  async function ask(side: Side, { service, tap }: Sample): Promise<Asked | NotAsked> {
    const asked = await sides.ask(side, service, tap.repeated());
    account.asked(side, resultOf(asked));
    return asked;
  }

  async function compare(sample: Sample, live: LiveAnswer): Promise<void> {
    const { slice, endpoint } = sample;
    const otherSide: Side = live.side === 'monolith' ? 'service' : 'monolith';
    let calibration: Asked | NotAsked | null = null;
    let other: Asked | NotAsked;
    try {
      if (!isOn(sample)) {
        drop(sample, 'switched-off');
        return;
      }
      const calibrates = random() < slice.shadow.calibrate;
      [other, calibration] = await Promise.all([ask(otherSide, sample), calibrates ? ask('monolith', sample) : null]);
    } finally {
      answered();
    }
    if (other.kind === 'not-asked') {
      drop(sample, other.why);
      return;
    }
    if (other.kind === 'failed') {
      const status = live.side === 'monolith' ? live.status : null;
      fail(sample, `the ${otherSide} could not be asked: ${other.cause}`, status);
      return;
    }
    const rules = slice.rulesOf(endpoint);
    const [ours, theirs] = live.side === 'monolith' ? [rawLive(live), other] : [other, rawLive(live)];
    if (calibration?.kind === 'answered') {
      const [one, again] = comparedAnswers(ours, calibration);
      slice.noise.learn(endpoint, differingPaths(timed(() => compareAnswers(one, again, rules))));
    }
    const [monolith, service] = timed(() => comparedAnswers(ours, theirs));
    if (other.extent !== 'whole') {
      // What is far larger than the other's answer, or never ends, is so by no lag.
      const { differences, ignored } = timed(() => compareAnswers(monolith, service, rules));
      find(sample, { outcome: 'different', differences, ignored, monolith, service, why: null });
      return;
    }
    const examined = await examineRead({
      monolith,
      service,
      compare: (one, two) => timed(() => compareAnswers(one, two, rules)),
      askAgain: (side) => askAgain(side, sample),
      noise: {
        compared: (differing) => slice.noise.compared(endpoint, differing),
        isNoise: (path) => slice.noise.isNoise(endpoint, path),
      },
      takePlace: () => takePlace(endpoint),
      pause,
    });
    if (examined.kind === 'unsettled') drop(sample, 'unsettled');
    else if (examined.kind === 'failed') {
      if (examined.why === 'switched-off') drop(sample, 'switched-off');
      else fail(sample, `the ${examined.side} could not be asked again: ${examined.why}`, ours.status);
    } else {
      const { outcome, differences, ignored, monolith, service } = examined;
      find(sample, { outcome, differences, ignored, monolith, service, why: null });
    }
  }

  /**
   * Each read that is asked again costs the monolith four answers more. Where a whole route differs a few of its reads prove
   * it, and it leaves places to the others.
   */
  function takePlace(endpoint: string): { leave(): void } | null {
    const own = rechecksOf.get(endpoint) ?? 0;
    if (rechecks >= bounds.maxRechecks || own >= Math.ceil(bounds.maxRechecks / 2)) return null;
    rechecks += 1;
    rechecksOf.set(endpoint, own + 1);
    return {
      leave() {
        rechecks -= 1;
        const left = (rechecksOf.get(endpoint) ?? 1) - 1;
        if (left === 0) rechecksOf.delete(endpoint);
        else rechecksOf.set(endpoint, left);
      },
    };
  }

  async function askAgain(side: Side, sample: Sample): Promise<AnsweredOrNot> {
    if (!isOn(sample)) return { kind: 'failed', why: 'switched-off' };
    const asked = await ask(side, sample);
    if (asked.kind !== 'answered') return { kind: 'failed', why: resultOf(asked) };
    return { kind: 'answered', answer: timed(() => comparedAnswer(asked)) };
  }

  return {
    enter(sample, answer) {
      if (!line.enter({ sample, answer })) return false;
      pumpSoon();
      return true;
    },
    figures: () => ({ waiting: line.size(), asking, rechecks }),
    leaveAll: () => line.leaveAll().map(({ sample }) => sample),
  };
};

const differingPaths = ({ differences }: Comparison): string[] => [...new Set(differences.map(({ path }) => path))];
