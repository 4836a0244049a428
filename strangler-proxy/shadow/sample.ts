import type { ComparedAnswer } from '@strangler/platform/compare/answer.ts';
import type { Comparison, Difference } from '@strangler/platform/compare/compare-answers.ts';
import type { CompareRules } from '@strangler/platform/compare/rules.ts';
import type { OutgoingRequest } from '../accept/outgoing.ts';
import type { Access, Decision, RequestFacts, Side } from '../decide/decision.ts';
import type { Asked } from './ask.ts';
import type { NotAsked } from './ask-sides.ts';
import type { RawAnswer } from './compared-answer.ts';
import type { DropReason, Outcome } from './outcome.ts';
import type { ShadowShares } from './sampling.ts';
import type { LiveAnswer, Tap } from './tap.ts';

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

/** A live request of which a copy is kept. */
export type Sample = {
  slice: ShadowedSlice;
  decision: Decision;
  /** Its name in Consul. */
  service: string;
  endpoint: string;
  facts: RequestFacts;
  outgoing: OutgoingRequest;
  tap: Tap;
  askedAt: Date;
};

/** What was found out about one request. */
export type Finding = {
  slice: string;
  /** `GET /api/products/:id`. */
  endpoint: string;
  access: Access;
  /** When the live request came. */
  askedAt: Date;
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

type Found = Pick<Finding, 'outcome' | 'differences' | 'ignored' | 'why'> & Pick<FoundExample, 'monolith' | 'service'>;

/** How what becomes of samples is told; whatever is told of one lets go of its copy. */
export type Telling = {
  drop(sample: Sample, reason: DropReason): void;
  find(sample: Sample, found: Found): void;
  /** `status`: of the monolith's answer, where there is one. */
  fail(sample: Sample, why: string, status: number | null): void;
  /** For a promise of one sample: nothing that goes wrong may reach further than its comparison. */
  defect(sample: Sample): (error: unknown) => void;
  /** Runs it and tells how long it took this process. */
  timed<T>(work: () => T): T;
};

export const tellOf = (account: ShadowAccount): Telling => {
  const about = ({ slice, endpoint, decision, facts, askedAt }: Sample) => ({
    ...{ slice: slice.slice, endpoint, access: decision.access, changeId: decision.changeId, facts },
    ...{ stickyBy: slice.stickyBy, askedAt },
  });

  const fail: Telling['fail'] = (sample, why, status) => {
    sample.tap.free();
    const found = { outcome: 'failed' as const, why, differences: [], ignored: [], status, example: null };
    account.found({ ...about(sample), ...found });
  };

  return {
    drop({ slice, decision, tap }, reason) {
      tap.free();
      account.dropped(slice.slice, decision.access, reason);
    },
    find(sample, { outcome, differences, ignored, why, monolith, service }) {
      const { tap } = sample;
      const found = { outcome, why, differences, ignored, status: monolith.status };
      account.found({
        ...about(sample),
        ...found,
        example: () => ({ request: tap.repeated(), monolith, service }),
      });
      tap.free();
    },
    fail,
    defect: (sample) => (error) => {
      account.defect(error);
      fail(sample, 'a defect of the proxy', null);
    },
    timed(work) {
      const startedMs = performance.now();
      try {
        return work();
      } finally {
        account.spent(performance.now() - startedMs);
      }
    },
  };
};

export const resultOf = (asked: Asked | NotAsked): string =>
  asked.kind === 'answered' ? 'answered' : asked.kind === 'failed' ? asked.cause : asked.why;

export const rawLive = ({ status, headers, body, latencyMs }: LiveAnswer): RawAnswer => ({
  ...{ status, headers, body, latencyMs },
  extent: 'whole',
});
