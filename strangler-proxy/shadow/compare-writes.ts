import type { ComparedAnswer, Effects } from '@strangler/platform/compare/answer.ts';
import { compareAnswers, type Difference } from '@strangler/platform/compare/compare-answers.ts';
import { createIdentityMap } from '@strangler/platform/compare/identities.ts';
import { decodeEffects, dryRunHeader, effectsHeader } from '@strangler/platform/contracts/dry-run.ts';
import type { Asked, AskUnderWay } from './ask.ts';
import type { AskSides } from './ask-sides.ts';
import { comparedAnswer } from './compared-answer.ts';
import { confirmAfterMs, recheckAfterMs } from './examine-read.ts';
import { judgeWrite, readDryRun } from './examine-write.ts';
import { cameLate, createLateWrites, readingOf } from './late-write.ts';
import { rawLive, resultOf, type Sample, type ShadowAccount, type Telling } from './sample.ts';
import type { LiveAnswer } from './tap.ts';
import type { SeenWrite } from './writes-seen.ts';

/** `seen`: null where it makes something that nobody else can have written. */
export type WriteSample = Sample & { seen: SeenWrite | null; dryRun: DryRun };

/** `waiting`: for the body, or for a place. `over`: called off or refused, and counted. */
type DryRun =
  | { state: 'waiting' }
  | { state: 'under-way'; ask: AskUnderWay; answer: Promise<{ asked: Asked; atMs: number }> }
  | { state: 'over' };

export type WriteComparisonOptions = {
  sides: Pick<AskSides, 'startDryRun' | 'ask'>;
  /** Dry runs under way. */
  concurrency: number;
  account: ShadowAccount;
  telling: Telling;
  /** Whether the slice of a sample is still compared. */
  isOn(sample: Sample): boolean;
  /** Writes that differ and whose dry run is made again. */
  maxRechecks: number;
  pause: (ms: number) => Promise<unknown>;
};

/** Writes: a dry run is sent the moment the request is whole, so that the service stands as the monolith did before it. */
export type WriteComparison = {
  requestWhole(sample: WriteSample): void;
  /** The live write is being answered: a dry run that is not on its way would see it. */
  answering(sample: WriteSample): void;
  /** The live request is over. */
  over(sample: WriteSample): void;
  dryRuns(): number;
};

export const createWriteComparison = (options: WriteComparisonOptions): WriteComparison => {
  const { sides, concurrency, account, telling, isOn, maxRechecks, pause } = options;
  const { drop, find, fail, timed } = telling;
  const late = createLateWrites();
  let dryRuns = 0;
  let rechecks = 0;

  const giveUp = (sample: WriteSample): void => {
    sample.dryRun = { state: 'over' };
    sample.tap.free();
  };

  async function compare(
    sample: WriteSample,
    live: LiveAnswer,
    dryRun: Promise<{ asked: Asked; atMs: number }>,
  ): Promise<void> {
    const { slice, endpoint, tap, seen } = sample;
    const { asked, atMs } = await dryRun;
    await new Promise((resolve) => setImmediate(resolve));
    if (asked.kind === 'failed') {
      if (asked.cause === 'no-dry-run') drop(sample, 'no-dry-run');
      else fail(sample, `the service made no dry run: ${asked.cause}`, live.status);
      return;
    }
    // RFC 9110 §15.6.2: it makes dry runs, and not of this.
    if (asked.status === 501) {
      drop(sample, 'no-dry-run');
      return;
    }
    const service = timed(() => readDryRun(asked));
    if (service === null) {
      fail(sample, `the service answered ${asked.status} to a dry run, which is no answer to one`, live.status);
      return;
    }
    const monolith = timed(() => comparedAnswer(rawLive(live), effectsOf(live)));
    // What either side has made an id for is gone again at the service: nothing of it is to be remembered.
    const comparison = timed(() => compareAnswers(monolith, service, slice.rulesOf(endpoint), createIdentityMap()));
    const { outcome, differences, ignored } = judgeWrite(comparison, {
      othersWrote: comparison.differences.length > 0 && ((await seen?.othersWrote()) ?? false),
      answeredAfterLiveMs: atMs - (tap.answeredAtMs ?? atMs),
    });
    late.compared(endpoint);
    const told = { differences, ignored, monolith, service, why: null };
    if (outcome !== 'different') {
      find(sample, { outcome, ...told });
      return;
    }
    const behind = await wasBehind(sample, { monolith, service, differences });
    if (behind === 'unsettled') drop(sample, 'unsettled');
    else find(sample, behind ? { ...told, outcome: 'lag', differences: [] } : { ...told, outcome });
  }

  /** Makes the dry run again, after what was merely late has arrived. */
  async function wasBehind(
    sample: WriteSample,
    { monolith, service, differences }: Judged,
  ): Promise<boolean | 'unsettled'> {
    const { slice, endpoint } = sample;
    if (rechecks >= maxRechecks) return 'unsettled';
    rechecks += 1;
    try {
      for (const afterMs of [...recheckAfterMs, confirmAfterMs]) {
        await pause(afterMs);
        if (!isOn(sample)) return 'unsettled';
        const again = await dryRunAgain(sample);
        // Refused now for what the write itself has done: then it is looked at as it stands.
        const later = again !== null && again.status !== service.status ? await written(sample, monolith) : again;
        if (later === null) continue;
        const rules = slice.rulesOf(endpoint);
        const compared = timed(() => compareAnswers(monolith, later, rules, createIdentityMap()));
        if (!cameLate(differences, compared.differences)) continue;
        return late.allow(endpoint, [...new Set(differences.map(({ path }) => path))]);
      }
      return false;
    } finally {
      rechecks -= 1;
    }
  }

  async function dryRunAgain(sample: WriteSample): Promise<ComparedAnswer | null> {
    const ask = sides.startDryRun(sample.service, sample.tap.repeated({ [dryRunHeader]: '1' }));
    if ('kind' in ask) return null;
    const asked = await ask.answer;
    account.asked('service', `dry-run-${resultOf(asked)}`);
    return asked.kind === 'answered' ? timed(() => readDryRun(asked)) : null;
  }

  /** What was written, as the service shows it by now, in place of its answer to the write. */
  async function written(sample: WriteSample, monolith: ComparedAnswer): Promise<ComparedAnswer | null> {
    const request = readingOf(sample.tap.repeated(), monolith);
    if (request === null) return null;
    const asked = await sides.ask('service', sample.service, request);
    account.asked('service', resultOf(asked));
    if (asked.kind !== 'answered' || asked.status !== 200) return null;
    return { ...timed(() => comparedAnswer(asked)), status: monolith.status };
  }

  return {
    requestWhole(sample) {
      if (sample.dryRun.state !== 'waiting' || dryRuns >= concurrency || !isOn(sample)) return;
      const ask = sides.startDryRun(sample.service, sample.tap.repeated({ [dryRunHeader]: '1' }));
      if ('kind' in ask) {
        giveUp(sample);
        account.dropped(sample.slice.slice, 'write', ask.why);
        return;
      }
      dryRuns += 1;
      const answer = ask.answer.then((asked) => {
        dryRuns -= 1;
        account.asked('service', `dry-run-${resultOf(asked)}`);
        return { asked, atMs: performance.now() };
      });
      sample.dryRun = { state: 'under-way', ask, answer };
    },
    answering(sample) {
      const { dryRun } = sample;
      if (dryRun.state === 'over' || (dryRun.state === 'under-way' && !dryRun.ask.callOff())) return;
      giveUp(sample);
      account.dropped(sample.slice.slice, 'write', 'late');
    },
    over(sample) {
      const { dryRun, tap } = sample;
      if (dryRun.state === 'over') {
        tap.free();
        return;
      }
      const copy = tap.taken();
      if ('skipped' in copy || dryRun.state === 'waiting') {
        sample.dryRun = { state: 'over' };
        drop(sample, 'skipped' in copy ? copy.skipped : 'late');
        return;
      }
      void compare(sample, copy.answer, dryRun.answer).catch(telling.defect(sample));
    },
    dryRuns: () => dryRuns,
  };
};

/** A write's answers, and where they differ. */
type Judged = { monolith: ComparedAnswer; service: ComparedAnswer; differences: readonly Difference[] };

const effectsOf = ({ headers }: LiveAnswer): Effects | null =>
  decodeEffects(headers.find(([name]) => name === effectsHeader)?.[1]) ?? null;
