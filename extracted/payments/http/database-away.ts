import { problems } from '@strangler/platform/http/problem.ts';
import { CommitOutcomeUnknown, conflictOf } from '@strangler/platform/mysql/transaction.ts';
import type { ErrorRequestHandler } from 'express';

const RETRY_AFTER_SECONDS = 1;

/** No connection to be had, or one that was lost. */
const AWAY_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ER_CON_COUNT_ERROR',
  'ER_SERVER_SHUTDOWN',
  'PROTOCOL_CONNECTION_LOST',
]);

/** Turns "the database cannot now" into 503: no connection to be had, connection lost, or locks held for too long. */
export function databaseAway(): ErrorRequestHandler {
  return (error: unknown, _request, _response, next) => {
    if (!isDatabaseAway(error)) {
      next(error);
      return;
    }
    const problem = problems.unavailable(RETRY_AFTER_SECONDS, 'The database cannot answer just now; try again.');
    problem.cause = error;
    next(problem);
  };
}

/** False for a COMMIT without an answer: to repeat that may be to do it twice. */
export function isDatabaseAway(error: unknown): boolean {
  if (error instanceof CommitOutcomeUnknown) return false;
  if (conflictOf(error) !== undefined) return true;
  const { code, message = '' } = Object(error) as Partial<NodeJS.ErrnoException>;
  return (code !== undefined && AWAY_CODES.has(code)) || /^(Queue limit reached|a database connection: )/.test(message);
}
