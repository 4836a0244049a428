import type { Cohort, FlagDocument } from '@strangler/platform/contracts/flag-document.ts';
import { CliError, exitCodes } from './exit-codes.ts';

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
