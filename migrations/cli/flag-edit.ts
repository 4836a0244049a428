import type { Cohort, FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { CliError, exitCodes } from './exit-codes.ts';

/** What `flag set` asks for; what is undefined stays as it is. */
export type FlagEdit = {
  readsPercent?: number;
  /** Scales what the slice file has compared, in percent: 0 compares nothing. */
  shadowPercent?: number;
  addCohort?: Cohort;
  removeCohort?: string;
};

/**
 * The document after an edit.
 * @throws CliError where the edit asks for nothing, or for something that the slice's stage forbids.
 */
export const editFlag = (document: FlagDocument, edit: FlagEdit): FlagDocument => {
  const { readsPercent, shadowPercent, addCohort, removeCohort } = edit;
  if ([readsPercent, shadowPercent, addCohort, removeCohort].every((one) => one === undefined)) {
    throw new CliError('nothing to change: say --reads, --shadow, --add-cohort or --remove-cohort', exitCodes.usage);
  }
  if (document.writes.owner === 'held') {
    throw new CliError(
      `${document.slice}: a cut-over is under way (writes are held until ${document.writes.deadline}); its flags change when it has ended`,
      exitCodes.refused,
    );
  }
  if (document.writes.owner === 'service' && readsPercent !== undefined && readsPercent !== 100) {
    throw new CliError(
      `${document.slice}: the service owns the writes, so reads stay at 100 %: the monolith's copy may be behind. Move the writes back first.`,
      exitCodes.refused,
    );
  }
  const { reads } = document;
  if (removeCohort !== undefined && !reads.cohorts.some((cohort) => cohort.name === removeCohort)) {
    const known = reads.cohorts.map((cohort) => cohort.name).join(', ') || 'none';
    throw new CliError(
      `${document.slice}: expected the name of a cohort (${known}), found "${removeCohort}"`,
      exitCodes.usage,
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
 * `shadow` on. @throws CliError, refused
 */
export const requireDataInStep = (before: FlagDocument, after: FlagDocument): void => {
  if (before.stage !== 'monolith' && before.stage !== 'sync') return;
  const toService = (document: FlagDocument) => document.reads.cohorts.filter(({ side }) => side === 'service');
  const more = after.reads.percent > before.reads.percent || toService(after).length > toService(before).length;
  if (!more) return;
  throw new CliError(
    `${after.slice}: expected the stage shadow, in which the service's data is proven to be the monolith's, found ${before.stage}: ` +
      `users would be given old data or none. "strangler advance ${after.slice}" gets there; --force with --reason goes past this`,
    exitCodes.refused,
  );
};

/** Reads `--reads`: a percentage with at most two decimals, with or without a percent sign. */
export const parsePercent = (text: string, option = '--reads'): number => {
  const match = /^(\d{1,3}(?:\.\d{1,2})?)\s*%?$/.exec(text.trim());
  const percent = match === null ? Number.NaN : Number(match[1]);
  if (!(percent >= 0 && percent <= 100)) {
    throw new CliError(
      `${option}: expected a percentage from 0 to 100 with at most two decimals, found "${text}"`,
      exitCodes.usage,
    );
  }
  return percent;
};

/** Reads a cohort's condition: `header:NAME=VALUE`, `cookie:NAME=VALUE` or `users:A,B,C`. */
export const parseCondition = (text: string): Cohort['when'] => {
  const users = /^users:(.+)$/.exec(text);
  if (users !== null) return { users: users[1]!.split(',').map((user) => user.trim()) };
  const named = /^(header|cookie):([^=\s]+)=(.*)$/.exec(text);
  if (named === null) {
    throw new CliError(
      `--when: expected header:NAME=VALUE, cookie:NAME=VALUE or users:A,B,C, found "${text}"`,
      exitCodes.usage,
    );
  }
  const [, kind, name, equals] = named as unknown as [string, string, string, string];
  return kind === 'header' ? { header: name, equals } : { cookie: name, equals };
};

/** One line for people: `reads 25 % service, writes monolith, epoch 1`. */
export const describeFlag = ({ reads, writes, epoch, shadow }: FlagDocument): string => {
  const cohorts =
    reads.cohorts.length === 0 ? '' : `, cohorts ${reads.cohorts.map((one) => `${one.name}→${one.side}`).join(' ')}`;
  // What the slice file says needs no word.
  const compared = shadow === undefined || shadow.percent === 100 ? '' : `, shadow ${shadow.percent} %`;
  return `reads ${reads.percent} % service${cohorts}, writes ${writes.owner}, epoch ${epoch}${compared}`;
};
