import type { Cohort, FlagDocument } from '../contracts/flag-document.ts';

/**
 * An edit of a slice's flags that is not made. `senseless`: it asks for nothing, or for something that is not there.
 * `refused`: what the slice's stage or its owner forbids.
 */
export class FlagEditRefused extends Error {
  override name = 'FlagEditRefused';
  readonly kind: 'senseless' | 'refused';

  constructor(kind: FlagEditRefused['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** What is asked for; what is undefined stays as it is. */
export type FlagEdit = {
  readsPercent?: number;
  /** Scales what the slice file has compared, in percent: 0 compares nothing. */
  shadowPercent?: number;
  addCohort?: Cohort;
  removeCohort?: string;
};

/**
 * The document after an edit.
 * @throws FlagEditRefused where the edit asks for nothing, or for something that the slice's stage forbids.
 */
export const editFlag = (document: FlagDocument, edit: FlagEdit): FlagDocument => {
  const { readsPercent, shadowPercent, addCohort, removeCohort } = edit;
  if ([readsPercent, shadowPercent, addCohort, removeCohort].every((one) => one === undefined)) {
    throw new FlagEditRefused(
      'senseless',
      'nothing to change: expected a percentage of reads, one of what is compared, or a cohort',
    );
  }
  if (document.writes.owner === 'held') {
    throw new FlagEditRefused(
      'refused',
      `${document.slice}: a cut-over is under way (writes are held until ${document.writes.deadline}); its flags change when it has ended`,
    );
  }
  if (document.writes.owner === 'service' && readsPercent !== undefined && readsPercent !== 100) {
    throw new FlagEditRefused(
      'refused',
      `${document.slice}: the service owns the writes, so reads stay at 100 %: the monolith's copy may be behind. Move the writes back first.`,
    );
  }
  const { reads } = document;
  if (removeCohort !== undefined && !reads.cohorts.some((cohort) => cohort.name === removeCohort)) {
    const known = reads.cohorts.map((cohort) => cohort.name).join(', ') || 'none';
    throw new FlagEditRefused(
      'senseless',
      `${document.slice}: expected the name of a cohort (${known}), found "${removeCohort}"`,
    );
  }
  const kept = reads.cohorts.filter((cohort) => cohort.name !== removeCohort && cohort.name !== addCohort?.name);
  return {
    ...document,
    ...(shadowPercent === undefined ? {} : { shadow: { percent: shadowPercent } }),
    reads: {
      percent: readsPercent ?? reads.percent,
      cohorts: addCohort === undefined ? kept : [...kept, addCohort],
    },
  };
};

/**
 * Sees that no more users are sent to a service whose data may not be the monolith's: it is proven to be from the stage
 * `shadow` on. @throws FlagEditRefused
 */
export const requireDataInStep = (before: FlagDocument, after: FlagDocument): void => {
  if (before.stage !== 'monolith' && before.stage !== 'sync') return;
  const toService = (document: FlagDocument) => document.reads.cohorts.filter(({ side }) => side === 'service');
  const more = after.reads.percent > before.reads.percent || toService(after).length > toService(before).length;
  if (!more) return;
  throw new FlagEditRefused(
    'refused',
    `${after.slice}: expected the stage shadow, in which the service's data is proven to be the monolith's, found ${before.stage}: ` +
      `users would be given old data or none. "strangler advance ${after.slice}" gets there; --force with --reason goes past this`,
  );
};
