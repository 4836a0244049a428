import { type FlagDocument, initialFlagDocument, percentage } from '@strangler/platform/contracts/flag-document.ts';
import type { Slice } from '@strangler/platform/contracts/slice-file.ts';
import { changeFlag } from '@strangler/platform/flags/change-flag.ts';
import { editFlag, type FlagEdit, FlagEditRefused, requireDataInStep } from '@strangler/platform/flags/edit-flag.ts';
import { FlagConflictError, type FlagStore } from '@strangler/platform/flags/store.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { z } from 'zod';

/** What may be changed from the dashboard. */
export const editBody = z
  .strictObject({ readsPercent: percentage.optional(), shadowPercent: percentage.optional() })
  .refine((edit) => edit.readsPercent !== undefined || edit.shadowPercent !== undefined, {
    message: 'expected readsPercent or shadowPercent',
  });

export const changeBody = z.strictObject({
  readsPercent: percentage.optional(),
  shadowPercent: percentage.optional(),
  reason: z.string().trim().min(1, 'say why: it stands in the history').max(1000),
  /** `basedOn` of the plan that was shown; `none` where the slice had no flags then. */
  basedOn: z.string().min(1).max(64),
});

/** What a change will do, before it is done. */
export type ChangePlan = {
  before: { readsPercent: number; shadowPercent: number };
  after: { readsPercent: number; shadowPercent: number };
  /** Sentences, what matters most first. */
  consequences: string[];
  /** The change that the plan stands on; where another has come since, it does not hold. */
  basedOn: string;
  /** The same by the command line. */
  command: string;
};

const shareOf = ({ reads, shadow }: FlagDocument) => ({
  readsPercent: reads.percent,
  shadowPercent: shadow?.percent ?? 100,
});

/** An edit as the slice's rules allow it. @throws FlagEditRefused */
export const editWithin = (slice: Pick<Slice, 'tables'>, document: FlagDocument, edit: FlagEdit): FlagDocument => {
  const edited = editFlag(document, edit);
  if (slice.tables.length > 0) requireDataInStep(document, edited);
  return edited;
};

/**
 * What an edit will do. Pure.
 * @throws FlagEditRefused where it will not be done.
 */
export const planChange = (slice: Pick<Slice, 'tables'>, document: FlagDocument, edit: FlagEdit): ChangePlan => {
  const edited = editWithin(slice, document, edit);
  const before = shareOf(document);
  const after = shareOf(edited);
  const words = ['npx strangler flag set', document.slice];
  if (edit.readsPercent !== undefined) words.push(`--reads ${edit.readsPercent}`);
  if (edit.shadowPercent !== undefined) words.push(`--shadow ${edit.shadowPercent}`);
  return {
    ...{ before, after, basedOn: document.change.id },
    consequences: [
      ...readConsequences(document, after.readsPercent),
      ...shadowConsequences(document, after.shadowPercent),
    ],
    command: `${words.join(' ')} --reason "…"`,
  };
};

const readConsequences = (document: FlagDocument, to: number): string[] => {
  const from = document.reads.percent;
  if (from === to) return [];
  const said =
    to > from
      ? [
          `Reads of ${to} % of users are answered by the service, ${from} % until now. Nobody who reads there now is moved back.`,
          'Writes stay where they are.',
        ]
      : [
          `Reads of ${from - to} % of users go back to the monolith; ${to} % stay with the service. Who came last goes first.`,
          'Writes stay where they are, so nothing can be lost.',
        ];
  if (document.reads.cohorts.length > 0) {
    said.push(`${document.reads.cohorts.length} cohorts are decided before the percentage and stay as they are.`);
  }
  if (document.stage === 'canary') {
    said.push(
      to > from
        ? 'The canary bakes anew at this percentage, and goes on by itself from there.'
        : 'The canary stops here, and goes up again only when somebody sets a percentage.',
    );
  }
  said.push('Every proxy obeys within milliseconds. Setting the old percentage again takes it back.');
  return said;
};

const shadowConsequences = (document: FlagDocument, to: number): string[] => {
  const from = document.shadow?.percent ?? 100;
  if (from === to) return [];
  if (to === 0) {
    return [
      'No answers are compared any more: the gate into canary then waits for samples, and a canary is not stepped back for mismatches.',
    ];
  }
  return [
    `${to} % of what the slice file has compared is compared, ${from} % until now. Live answers do not wait for it.`,
    ...(document.stage === 'shadow' || document.stage === 'canary'
      ? []
      : [`At stage ${document.stage} nothing is compared; it counts from the stage shadow on.`]),
  ];
};

export const documentOrFirst = async (store: FlagStore, slice: string): Promise<FlagDocument> =>
  (await store.get(slice))?.document ??
  initialFlagDocument(slice, { id: 'none', by: 'nobody', at: new Date(0).toISOString(), reason: '' });

/** Makes a change in the name of whoever asked. @throws Problem 409 or 422 where it is not made */
export const makeChange = async (
  store: FlagStore,
  slice: Slice,
  { reason, basedOn, ...edit }: z.infer<typeof changeBody>,
  by: string,
): Promise<FlagDocument> => {
  const sameAs = ({ change }: FlagDocument): void => {
    if (change.id === basedOn) return;
    throw new FlagConflictError(
      `${change.by} changed the flags at ${change.at} since you looked; nothing of yours was written. Look again, then decide.`,
    );
  };
  try {
    sameAs(await documentOrFirst(store, slice.slice));
    return await changeFlag(
      store,
      slice.slice,
      (current) => {
        // Before the first change there is nothing to be held against.
        if (basedOn !== 'none') sameAs(current);
        return editWithin(slice, current, edit as FlagEdit);
      },
      { by, reason },
    );
  } catch (error) {
    throw asProblem(error);
  }
};

/** What is said of an edit that is not made; any other error as it is. */
export const asProblem = (error: unknown): unknown => {
  if (error instanceof FlagConflictError) return problems.conflict(error.message);
  if (error instanceof FlagEditRefused) return problems.unprocessable(error.message);
  return error;
};
