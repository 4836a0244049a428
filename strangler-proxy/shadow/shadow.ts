import type { ComparedAnswer, Effects } from '@strangler/platform/compare/answer.ts';
import { type Comparison, compareAnswers, type Difference } from '@strangler/platform/compare/compare-answers.ts';
import { createIdentityMap } from '@strangler/platform/compare/identities.ts';
import type { CompareRules } from '@strangler/platform/compare/rules.ts';
import {
  decodeEffects,
  dryRunHeader,
  effectsHeader,
  tellEffectsHeader,
} from '@strangler/platform/contracts/dry-run.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Accepted } from '../accept/accept.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { Access, Decision, RequestFacts, Side } from '../decide/decision.ts';
import type { Asked, AskUnderWay } from './ask.ts';
import type { AskSides, NotAsked } from './ask-sides.ts';
import type { ByteBudget } from './byte-budget.ts';
import { comparedAnswer, comparedAnswers, type RawAnswer } from './compared-answer.ts';
import { type AnsweredOrNot, examineRead } from './examine-read.ts';
import { judgeWrite, readDryRun } from './examine-write.ts';
import type { DropReason, Outcome } from './outcome.ts';
import { type ShadowShares, sampledShare } from './sampling.ts';
import { type LiveAnswer, Tap } from './tap.ts';
import { createWaitingLine } from './waiting-line.ts';
import { resourceOf, type SeenWrite, type WritesSeen } from './writes-seen.ts';

/** One slice whose answers are compared. */
export type ShadowedSlice = {
  slice: string;
  stickyBy: readonly string[];
  shadow: ShadowShares & {
    /** The share, 0 to 1, of compared reads for which the monolith is asked twice at once. */
    calibrate: number;
  };
  /** The slice file's `compare`, for one endpoint. */
  rulesOf(endpoint: string): CompareRules;
  noise: {
    learn(endpoint: string, differing: readonly string[]): void;
    compared(endpoint: string, differing: readonly string[]): void;
    isNoise(endpoint: string, path: string): boolean;
  };
};

/** What was found out about one request. */
export type Finding = {
  slice: string;
  /** `GET /api/products/:id`. */
  endpoint: string;
  access: Access;
  /** `change.id` of the flag document under which the request was decided. */
  changeId: string | null;
  facts: RequestFacts;
  stickyBy: readonly string[];
  outcome: Outcome;
  /** In words, where the outcome is `failed`. */
  why: string | null;
  differences: readonly Difference[];
  ignored: Comparison['ignored'];
  /** Of the monolith's answer; null where there is none. */
  status: number | null;
  /** The request and both answers, for whoever keeps an example; made only when asked for. */
  example: (() => FoundExample) | null;
};

export type FoundExample = {
  request: { method: string; target: string; headers: OutgoingRequest['headers']; body: Buffer | null };
  monolith: ComparedAnswer;
  service: ComparedAnswer;
};

/** Told of everything that is compared or is not; must not throw. */
export type ShadowAccount = {
  found(finding: Finding): void;
  dropped(slice: string, access: Access, reason: DropReason): void;
  /** An ask for an answer to compare has ended: `answered`, or why not. */
  asked(side: Side, result: string): void;
  /** Time that comparing took from this process. */
  spent(ms: number): void;
  /** Something went wrong that is the proxy's own fault; no live request was touched by it. */
  defect(error: unknown): void;
};

export type ShadowBounds = {
  maxRequestBytes: number;
  maxAnswerBytes: number;
  /** Sampled requests under way. */
  maxOpen: number;
  /** Copies that wait to be asked about. */
  maxWaiting: number;
  maxWaitMs: number;
  /** Reads that are asked about at a time; as many dry runs again. */
  concurrency: number;
  /** Reads that differ and are asked again. */
  maxRechecks: number;
};

export type ShadowOptions = {
  slices: readonly ShadowedSlice[];
  flagOf: (slice: string) => FlagDocument | undefined;
  sides: AskSides;
  bounds: ShadowBounds;
  budget: ByteBudget;
  writesSeen: WritesSeen;
  /** The share, 0 to 1, that this worker has the time for. */
  spareShare: () => number;
  account: ShadowAccount;
  /** In [0, 1), like Math.random. */
  random?: () => number;
  pause: (ms: number) => Promise<unknown>;
};

/** A live request that is watched; `over` is called when it is. */
export type Watched = {
  /** Null where it is not sampled. */
  tap: Tap | null;
  /** The request's answer has gone out whole, or not. */
  over(answered: boolean): void;
};

export type ShadowFigures = { open: number; waiting: number; asking: number; rechecks: number; memoryBytes: number };

/** The proxy's view of it: one call when a request is sent on, and one when it is over. */
export type Shadow = {
  /** Null for requests with which nothing is done. It may add to the headers that are sent on. */
  watch(accepted: Pick<Accepted, 'facts' | 'outgoing'>, decision: Decision): Watched | null;
  figures(): ShadowFigures;
  /** Takes no more, and drops what waits. */
  close(): void;
};

type Sample = {
  slice: ShadowedSlice;
  decision: Decision;
  service: string;
  endpoint: string;
  facts: RequestFacts;
  outgoing: OutgoingRequest;
  tap: Tap;
};

/** `seen`: null where it makes something that nobody else can have written. */
type WriteSample = Sample & { seen: SeenWrite | null; dryRun: DryRun };

/** `waiting`: for the body, or for a place. `over`: called off or refused, and counted. */
type DryRun =
  | { state: 'waiting' }
  | { state: 'under-way'; ask: AskUnderWay; answer: Promise<{ asked: Asked; atMs: number }> }
  | { state: 'over' };

/**
 * Compares what users are answered with what the other side answers to the same request, beside the live requests and
 * never in their way: a request is copied as it goes by, and everything else is done when it is over, on connections of its
 * own. Whatever has no room is dropped and counted.
 */
export const createShadow = (options: ShadowOptions): Shadow => {
  const { flagOf, sides, bounds, budget, writesSeen, spareShare, account, pause, random = Math.random } = options;
  const slices = new Map(options.slices.map((one) => [one.slice, one]));
  const line = createWaitingLine<{ sample: Sample; answer: LiveAnswer }>({
    maxWaiting: bounds.maxWaiting,
    maxAgeMs: bounds.maxWaitMs,
    onTooOld: ({ sample }) => drop(sample, 'too-old'),
    nowMs: () => performance.now(),
  });
  let open = 0;
  let asking = 0;
  let dryRuns = 0;
  let rechecks = 0;
  let closed = false;
  let pumpIsDue = false;

  function drop({ slice, decision, tap }: Sample, reason: DropReason): void {
    tap.free();
    account.dropped(slice.slice, decision.access, reason);
  }

  function shareNow(slice: ShadowedSlice, method: string, decision: Decision): number {
    const flag = flagOf(slice.slice);
    if (flag === undefined) return 0;
    return sampledShare(slice.shadow, flag, { method, template: decision.route ?? '', access: decision.access });
  }

  const isOn = (slice: ShadowedSlice): boolean => {
    const flag = flagOf(slice.slice);
    return !closed && (flag?.stage === 'shadow' || flag?.stage === 'canary') && flag.shadow?.percent !== 0;
  };

  function watch({ facts, outgoing }: Pick<Accepted, 'facts' | 'outgoing'>, decision: Decision): Watched | null {
    const slice = decision.slice === null ? undefined : slices.get(decision.slice);
    if (slice === undefined || closed) return null;
    const { access } = decision;
    const share = shareNow(slice, facts.method, decision);
    const resource =
      access === 'write' && isOn(slice) ? resourceOf(facts.method, decision.route ?? '', facts.path) : null;
    const write = resource === null ? null : writesSeen.begin(slice.slice, resource);
    const tap = share > 0 && random() < share ? sample(slice, facts, outgoing, decision, write) : null;
    if (tap === null && write === null) return null;
    return {
      tap: tap?.tap ?? null,
      over(answered) {
        harmless(() => {
          write?.end();
          tap?.over(answered);
        });
      },
    };
  }

  /** A defect here is counted, and is nothing to the live request in whose way it would be. */
  function harmless<T>(work: () => T): T | null {
    try {
      return work();
    } catch (error) {
      account.defect(error);
      return null;
    }
  }

  function sample(
    slice: ShadowedSlice,
    facts: RequestFacts,
    outgoing: OutgoingRequest,
    decision: Decision,
    seen: SeenWrite | null,
  ): Watched | null {
    const { access, route, service } = decision;
    const refuse = (reason: DropReason): null => {
      account.dropped(slice.slice, access, reason);
      return null;
    };
    if (open >= bounds.maxOpen) return refuse('too-many');
    if (random() >= spareShare()) return refuse('busy');
    // A dry run is one of the side that does not own the writes; at these stages that is the service.
    if (access === 'write' && decision.side !== 'monolith') return null;
    const length = outgoing.headers['Content-Length'] ?? outgoing.headers['content-length'];
    if (typeof length === 'string' && Number(length) > bounds.maxRequestBytes) return refuse('request-too-large');

    const write: { current: WriteSample | null } = { current: null };
    const tap = new Tap({
      outgoing,
      maxRequestBytes: bounds.maxRequestBytes,
      maxAnswerBytes: bounds.maxAnswerBytes,
      budget,
      listener: {
        requestWhole() {
          if (write.current !== null) harmless(() => startDryRun(write.current!));
        },
        answering() {
          if (write.current !== null) harmless(() => tooLateForDryRun(write.current!));
        },
      },
    });
    const endpoint = `${facts.method} ${route}`;
    const taken: Sample = { slice, decision, service: service ?? '', endpoint, facts, outgoing, tap };
    if (access === 'write') {
      write.current = { ...taken, seen, dryRun: { state: 'waiting' } };
      outgoing.headers[tellEffectsHeader] = '1';
    }
    open += 1;
    return {
      tap,
      over(answered) {
        open -= 1;
        if (!answered) tap.skip('not-answered');
        if (write.current !== null) finishWrite(write.current);
        else finishRead(taken);
      },
    };
  }

  // Reads: the live answer is here; the other side is asked when there is a place.

  function finishRead(taken: Sample): void {
    const copy = taken.tap.taken();
    if ('skipped' in copy) drop(taken, copy.skipped);
    else if (closed) drop(taken, 'stopping');
    else if (!line.enter({ sample: taken, answer: copy.answer })) drop(taken, 'queue-full');
    else pumpSoon();
  }

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
        void compareRead(next.sample, next.answer).catch(defect(next.sample));
      }
    });
  }

  const answered = (): void => {
    asking -= 1;
    if (line.size() > 0) pumpSoon();
  };

  async function ask(side: Side, taken: Sample): Promise<Asked | NotAsked> {
    const asked = await sides.ask(side, taken.service, taken.tap.repeated());
    account.asked(side, resultOf(asked));
    return asked;
  }

  async function compareRead(taken: Sample, live: LiveAnswer): Promise<void> {
    const { slice, endpoint, tap } = taken;
    let calibration: Asked | NotAsked | null = null;
    let other: Asked | NotAsked;
    try {
      if (!isOn(slice)) {
        drop(taken, 'switched-off');
        return;
      }
      const calibrates = random() < slice.shadow.calibrate;
      [other, calibration] = await Promise.all([
        ask(otherSide(live.side), taken),
        calibrates ? ask('monolith', taken) : null,
      ]);
    } finally {
      answered();
    }
    if (other.kind === 'not-asked') {
      drop(taken, other.why);
      return;
    }
    if (other.kind === 'failed') {
      fail(
        taken,
        `the ${otherSide(live.side)} could not be asked: ${other.cause}`,
        live.side === 'monolith' ? live.status : null,
      );
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
      find(taken, { outcome: 'different', differences, ignored, monolith, service, why: null });
      tap.free();
      return;
    }
    const examined = await examineRead({
      monolith,
      service,
      compare: (one, two) => timed(() => compareAnswers(one, two, rules)),
      askAgain: (side) => askAgain(side, taken),
      noise: {
        compared: (differing) => slice.noise.compared(endpoint, differing),
        isNoise: (path) => slice.noise.isNoise(endpoint, path),
      },
      takePlace() {
        if (rechecks >= bounds.maxRechecks) return null;
        rechecks += 1;
        return {
          leave() {
            rechecks -= 1;
          },
        };
      },
      pause,
    });
    if (examined.kind === 'unsettled') drop(taken, 'unsettled');
    else if (examined.kind === 'failed') {
      if (examined.why === 'switched-off') drop(taken, 'switched-off');
      else fail(taken, `the ${examined.side} could not be asked again: ${examined.why}`, ours.status);
    } else {
      const { outcome, differences, ignored, monolith, service } = examined;
      find(taken, { outcome, differences, ignored, monolith, service, why: null });
    }
    tap.free();
  }

  async function askAgain(side: Side, taken: Sample): Promise<AnsweredOrNot> {
    if (!isOn(taken.slice)) return { kind: 'failed', why: 'switched-off' };
    const asked = await ask(side, taken);
    if (asked.kind !== 'answered') return { kind: 'failed', why: resultOf(asked) };
    return { kind: 'answered', answer: timed(() => comparedAnswer(asked)) };
  }

  // Writes: a dry run is sent the moment the request is whole, so that the service stands as the monolith did before it.

  function startDryRun(taken: WriteSample): void {
    if (taken.dryRun.state !== 'waiting' || dryRuns >= bounds.concurrency || !isOn(taken.slice)) return;
    const ask = sides.startDryRun(taken.service, taken.tap.repeated({ [dryRunHeader]: '1' }));
    if ('kind' in ask) {
      taken.dryRun = { state: 'over' };
      taken.tap.free();
      account.dropped(taken.slice.slice, 'write', ask.why);
      return;
    }
    dryRuns += 1;
    const answer = ask.answer.then((asked) => {
      dryRuns -= 1;
      account.asked('service', `dry-run-${resultOf(asked)}`);
      return { asked, atMs: performance.now() };
    });
    taken.dryRun = { state: 'under-way', ask, answer };
  }

  /** The live write is done: a dry run that is not on its way would see it. */
  function tooLateForDryRun(taken: WriteSample): void {
    const { dryRun } = taken;
    if (dryRun.state === 'over' || (dryRun.state === 'under-way' && !dryRun.ask.callOff())) return;
    taken.dryRun = { state: 'over' };
    taken.tap.free();
    account.dropped(taken.slice.slice, 'write', 'late');
  }

  function finishWrite(taken: WriteSample): void {
    const { dryRun } = taken;
    if (dryRun.state === 'over') {
      taken.tap.free();
      return;
    }
    const copy = taken.tap.taken();
    if ('skipped' in copy || dryRun.state === 'waiting') {
      taken.dryRun = { state: 'over' };
      drop(taken, 'skipped' in copy ? copy.skipped : 'late');
      return;
    }
    const { answer } = dryRun;
    void compareWrite(taken, copy.answer, answer).catch(defect(taken));
  }

  async function compareWrite(
    taken: WriteSample,
    live: LiveAnswer,
    dryRun: Promise<{ asked: Asked; atMs: number }>,
  ): Promise<void> {
    const { slice, endpoint, tap, seen } = taken;
    const { asked, atMs } = await dryRun;
    await new Promise((resolve) => setImmediate(resolve));
    if (asked.kind === 'failed') {
      if (asked.cause === 'no-dry-run') drop(taken, 'no-dry-run');
      else fail(taken, `the service made no dry run: ${asked.cause}`, live.status);
      return;
    }
    // RFC 9110 §15.6.2: it makes dry runs, and not of this.
    if (asked.status === 501) {
      drop(taken, 'no-dry-run');
      return;
    }
    const service = timed(() => readDryRun(asked));
    if (service === null) {
      fail(taken, `the service answered ${asked.status} to a dry run, which is no answer to one`, live.status);
      return;
    }
    const monolith = timed(() => comparedAnswer(rawLive(live), effectsOf(live)));
    // What either side has made an id for is gone again at the service: nothing of it is to be remembered.
    const comparison = timed(() => compareAnswers(monolith, service, slice.rulesOf(endpoint), createIdentityMap()));
    const { outcome, differences, ignored } = judgeWrite(comparison, {
      othersWrote: comparison.differences.length > 0 && ((await seen?.othersWrote()) ?? false),
      answeredAfterLiveMs: atMs - (tap.answeredAtMs ?? atMs),
    });
    find(taken, { outcome, differences, ignored, monolith, service, why: null });
    tap.free();
  }

  // What comes of it.

  type Found = Pick<Finding, 'outcome' | 'differences' | 'ignored' | 'why'> &
    Pick<FoundExample, 'monolith' | 'service'>;

  function find(taken: Sample, { outcome, differences, ignored, why, monolith, service }: Found): void {
    const { slice, endpoint, decision, facts, tap } = taken;
    account.found({
      ...{ slice: slice.slice, endpoint, access: decision.access, changeId: decision.changeId, facts },
      ...{ stickyBy: slice.stickyBy, outcome, why, differences, ignored, status: monolith.status },
      example: () => ({ request: tap.repeated(), monolith, service }),
    });
  }

  function fail(taken: Sample, why: string, status: number | null): void {
    const { slice, endpoint, decision, facts, tap } = taken;
    tap.free();
    account.found({
      ...{ slice: slice.slice, endpoint, access: decision.access, changeId: decision.changeId, facts },
      ...{ stickyBy: slice.stickyBy, outcome: 'failed', why, differences: [], ignored: [], status, example: null },
    });
  }

  /** Nothing that goes wrong here may reach further than this request's comparison. */
  const defect =
    (taken: Sample) =>
    (error: unknown): void => {
      account.defect(error);
      fail(taken, 'a defect of the proxy', null);
    };

  function timed<T>(work: () => T): T {
    const startedMs = performance.now();
    try {
      return work();
    } finally {
      account.spent(performance.now() - startedMs);
    }
  }

  return {
    watch: (accepted, decision) => harmless(() => watch(accepted, decision)),
    figures: () => ({ open, waiting: line.size(), asking: asking + dryRuns, rechecks, memoryBytes: budget.taken() }),
    close() {
      closed = true;
      for (const { sample } of line.leaveAll()) drop(sample, 'stopping');
    },
  };
};

const otherSide = (side: Side): Side => (side === 'monolith' ? 'service' : 'monolith');

const resultOf = (asked: Asked | NotAsked): string =>
  asked.kind === 'answered' ? 'answered' : asked.kind === 'failed' ? asked.cause : asked.why;

const rawLive = ({ status, headers, body, latencyMs }: LiveAnswer): RawAnswer => ({
  ...{ status, headers, body, latencyMs },
  extent: 'whole',
});

const effectsOf = ({ headers }: LiveAnswer): Effects | null =>
  decodeEffects(headers.find(([name]) => name === effectsHeader)?.[1]) ?? null;

const differingPaths = ({ differences }: Comparison): string[] => [...new Set(differences.map(({ path }) => path))];
