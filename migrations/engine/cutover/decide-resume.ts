import type { CutoverJournal } from '@strangler/platform/contracts/cutover-journal.ts';
import type { FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import type { Fence } from '../fence/fence-state.ts';
import { isOpen, otherSide, type Side } from './journal.ts';

/** A slice's fence on each side; undefined where it has none. */
export type Fences = Record<Side, Pick<Fence, 'state' | 'epoch' | 'owner'> | undefined>;

export type ResumeDecision = 'finish' | 'call off' | 'nothing';

/**
 * What is to be done about a slice that a coordinator may have left half-way. The flag document alone says whether the
 * cut-over was committed; journal and fences say whether anything is left to do. Pure; the same decision for whoever
 * comes, however often.
 */
export const decideResume = (
  flag: Pick<FlagDocument, 'writes' | 'epoch'>,
  journal: Pick<CutoverJournal, 'to' | 'epoch' | 'outcome'> | undefined,
  fences: Fences,
): ResumeDecision => {
  const { owner } = flag.writes;
  if (owner === 'held') return 'call off';
  const committed = isCommitted(flag, journal);
  const unfinished = journal !== undefined && isOpen(journal);
  if (!unfinished && areWhole(owner, fences)) return 'nothing';
  return committed ? 'finish' : 'call off';
};

/** Whether the flags say that the cut-over of this journal has taken place. */
export const isCommitted = (
  { writes, epoch }: Pick<FlagDocument, 'writes' | 'epoch'>,
  journal: Pick<CutoverJournal, 'to' | 'epoch'> | undefined,
): boolean => journal !== undefined && writes.owner === journal.to && epoch >= journal.epoch;

/** Whether the owner's tables are open and the other's closed, as far as they have fences. */
export const areWhole = (owner: Side, fences: Fences): boolean =>
  (fences[owner]?.state ?? 'open') === 'open' && (fences[otherSide(owner)]?.state ?? 'closed') === 'closed';
