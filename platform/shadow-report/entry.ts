import { createHash } from 'node:crypto';
import type { Difference, DifferenceKind } from '../compare/compare-answers.ts';
import type { KeptAnswer, KeptRequest } from '../compare/redact.ts';

/**
 * How a comparison ended. `same`; `ignored`: only what the slice file ignores differed; `noise`: only what differs between the
 * monolith's own answers too; `lag`: equal when asked again; `racing`: of something written a moment before; `accepted`: only
 * what somebody has accepted; `different`; `failed`: a side gave no answer to compare; `skipped`: too large, streamed, late.
 */
export const outcomes = [
  'same',
  'ignored',
  'noise',
  'lag',
  'racing',
  'accepted',
  'different',
  'failed',
  'skipped',
] as const;
export type Outcome = (typeof outcomes)[number];

/** Outcomes that show that the service answers as the monolith does. */
export const cleanOutcomes: readonly Outcome[] = ['same', 'ignored', 'noise', 'lag', 'accepted'];

export type StatusClass = '1xx' | '2xx' | '3xx' | '4xx' | '5xx' | 'none';

export const statusClassOf = (status: number): StatusClass =>
  status >= 100 && status < 600 ? (`${Math.floor(status / 100)}xx` as StatusClass) : 'none';

/** What is counted together: one route, asked by one role, answered by the monolith with one class of status. */
export type Cell = {
  /** "GET /api/products/:id". */
  endpoint: string;
  statusClass: StatusClass;
  /** `anonymous`, `user`, or what the caller's token says; of a bounded set. */
  role: string;
  access: 'read' | 'write';
};

/** One comparison, as it is told to the report. */
export type RecordedComparison = Cell & {
  slice: string;
  /** `accepted` is found out by the report. */
  outcome: Exclude<Outcome, 'accepted'>;
  /** Of outcome `different`: what differs and is neither ignored nor noise. Redacted, see `redactDifference`. */
  differences: readonly Difference[];
  /** Redacted, see `redactRequest` and `redactAnswer`. Kept only where its groups still want examples. */
  example?: { request: KeptRequest; monolith: KeptAnswer; service: KeptAnswer };
  /** When the live request came. */
  at: Date;
};

/** What is told of differences of one route at one templated path: all that one cause is likely to make. */
export type GroupKey = { slice: string; endpoint: string; path: string; kind: DifferenceKind };

/** The same ten letters in every process, short enough to type. */
export const groupId = ({ slice, endpoint, path, kind }: GroupKey): string =>
  createHash('sha256')
    .update(JSON.stringify([slice, endpoint, path, kind]))
    .digest('hex')
    .slice(0, 10);

export type ShadowGroup = Omit<GroupKey, 'slice'> & {
  id: string;
  /** Comparisons in which it was seen. */
  count: number;
  first: Date;
  last: Date;
  /** null: nobody has accepted it. */
  accepted: Acceptance | null;
  /** Ids of kept examples, newest first. */
  examples: string[];
};

export type Acceptance = {
  by: string;
  reason: string;
  at: Date /** How often it had been seen then. */;
  count: number;
};

export type ShadowExample = {
  id: string;
  slice: string;
  endpoint: string;
  role: string;
  statusClass: StatusClass;
  access: 'read' | 'write';
  at: Date;
  request: KeptRequest;
  monolith: KeptAnswer;
  service: KeptAnswer;
  differences: Difference[];
};

/** How often comparisons of a cell ended how. */
export type CellCounts = Cell & { outcomes: Partial<Record<Outcome, number>> };

export type ShadowSummary = {
  /** In all, whatever came of them. */
  comparisons: number;
  outcomes: Record<Outcome, number>;
  /** null: nothing yet. */
  first: Date | null;
  last: Date | null;
  groups: number;
  /** Comparisons that differ in a group that nobody has accepted. */
  unexplained: number;
  /** Of these, those that differ in a group for which the report had no room. */
  unlisted: number;
};
