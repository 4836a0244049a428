import { tellEffectsHeader } from '@strangler/platform/contracts/dry-run.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Accepted } from '../accept/accept.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { Decision, RequestFacts } from '../decide/decision.ts';
import type { AskSides } from './ask-sides.ts';
import { createAway } from './away.ts';
import type { ByteBudget } from './byte-budget.ts';
import { createReadComparison } from './compare-reads.ts';
import { createWriteComparison, type WriteSample } from './compare-writes.ts';
import type { DropReason } from './outcome.ts';
import { type Sample, type ShadowAccount, type ShadowedSlice, tellOf } from './sample.ts';
import { sampledShare } from './sampling.ts';
import { Tap } from './tap.ts';
import { resourceOf, type SeenWrite, type WritesSeen } from './writes-seen.ts';

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
  /** Reads that differ and are asked again; as many writes whose dry run is made again. */
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

/**
 * Compares what users are answered with what the other side answers to the same request, beside the live requests and
 * never in their way: a request is copied as it goes by, and everything else is done when it is over, on connections of its
 * own. Whatever has no room is dropped and counted.
 */
export const createShadow = (options: ShadowOptions): Shadow => {
  const { flagOf, bounds, budget, writesSeen, spareShare, account, pause, random = Math.random } = options;
  const slices = new Map(options.slices.map((one) => [one.slice, one]));
  const telling = tellOf(account);
  const { away, sides } = createAway(options.sides, () => performance.now());
  const stillOn = ({ slice }: Sample): boolean => isOn(slice);
  const shared = { sides, account, telling, isOn: stillOn };
  const reads = createReadComparison({ ...shared, bounds, random, pause });
  const writes = createWriteComparison({
    ...{ ...shared, concurrency: bounds.concurrency, maxRechecks: bounds.maxRechecks, pause },
  });
  let open = 0;
  let closed = false;

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
    // To copy what nobody will be asked about would only cost live requests.
    const why = away.get(service ?? '');
    if (why !== undefined) return refuse(why);
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
          if (write.current !== null) harmless(() => writes.requestWhole(write.current!));
        },
        answering() {
          if (write.current !== null) harmless(() => writes.answering(write.current!));
        },
      },
    });
    const endpoint = `${facts.method} ${route}`;
    const taken: Sample = {
      ...{ slice, decision, service: service ?? '', endpoint, facts, outgoing, tap },
      askedAt: new Date(),
    };
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
        if (write.current !== null) writes.over(write.current);
        else finishRead(taken);
      },
    };
  }

  function finishRead(taken: Sample): void {
    const copy = taken.tap.taken();
    if ('skipped' in copy) telling.drop(taken, copy.skipped);
    else if (closed) telling.drop(taken, 'stopping');
    else if (!reads.enter(taken, copy.answer)) telling.drop(taken, 'queue-full');
  }

  return {
    watch: (accepted, decision) => harmless(() => watch(accepted, decision)),
    figures() {
      const { waiting, asking, rechecks } = reads.figures();
      return { open, waiting, asking: asking + writes.dryRuns(), rechecks, memoryBytes: budget.taken() };
    },
    close() {
      closed = true;
      for (const sample of reads.leaveAll()) telling.drop(sample, 'stopping');
    },
  };
};
