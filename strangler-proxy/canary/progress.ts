import { type CanaryStanding, canaryAuthor } from '@strangler/platform/contracts/canary.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { CanaryProgress } from './judge.ts';
import { type SideFigures, unpackFigures } from './side-figures.ts';

/** Where a canary is, as the proxy that steers it remembers it. */
export type Progress = CanaryProgress & {
  /** `change.id` of the document that it speaks of. */
  changeId: string;
  /** Milliseconds since the epoch. */
  bakingSinceMs: number;
  baseline: SideFigures | null;
};

/** Goes on from what another proxy, or an earlier life of this one, has left. */
export const progressFromStanding = (standing: CanaryStanding): Progress => ({
  changeId: standing.changeId,
  percent: standing.percent,
  bakedMs: standing.bakedMs,
  bakingSinceMs: Date.parse(standing.bakingSince),
  good: standing.good,
  stopped: standing.state === 'stopped',
  baseline: standing.baseline === null ? null : unpackFigures(standing.baseline),
});

/**
 * The progress under a document that nobody has judged yet. `previous` is the document before it, by the audit log:
 * whether it went up or back is read from the two, so nothing is lost where the proxy that changed it died. Whoever
 * lowers a percentage, the canary or an operator, wants less: it stays there until somebody sets it again.
 */
export const progressOfNewDocument = (
  document: FlagDocument,
  previous: FlagDocument | undefined,
  before: Progress | null,
  nowMs: number,
): Progress => {
  const { percent } = document.reads;
  const byCanary = document.change.by === canaryAuthor && previous?.stage === 'canary';
  const from = previous?.reads.percent ?? 0;
  // Whoever comes from another stage begins anew: the service may be another by now.
  const known = previous?.stage === 'canary' ? (before?.good ?? []) : [];
  const good = byCanary && from < percent && from > 0 ? [...known, from] : known;
  return {
    changeId: document.change.id,
    percent,
    bakedMs: 0,
    bakingSinceMs: nowMs,
    good: [...new Set(good)].filter((one) => one < percent).sort((one, other) => one - other),
    stopped: percent < from && (previous?.stage === 'canary' || previous?.stage === 'reads'),
    baseline: byCanary && from < percent ? (before?.baseline ?? null) : null,
  };
};
