import { problems } from '@strangler/platform/http/problem.ts';
import { conflictOf } from '@strangler/platform/mysql/transaction.ts';
import type { ErrorRequestHandler } from 'express';
import { ConnectionError, DatabaseError } from 'sequelize';

const RETRY_AFTER_SECONDS = 1;

/** Errors of a statement that was cut off, not refused. */
const CUT_CODES = new Set(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET', 'EPIPE', 'ER_SERVER_SHUTDOWN']);

/** Turns "the database cannot now" into 503: no connection to be had, connection lost, or locks held for too long. */
export function databaseAway(): ErrorRequestHandler {
  return (error: unknown, _request, _response, next) => {
    if (!isAway(error)) {
      next(error);
      return;
    }
    const problem = problems.unavailable(RETRY_AFTER_SECONDS, 'The database cannot answer just now; try again.');
    problem.cause = error;
    next(problem);
  };
}

function isAway(error: unknown): boolean {
  if (error instanceof ConnectionError || conflictOf(error) !== undefined) return true;
  const parent: unknown = error instanceof DatabaseError ? error.parent : undefined;
  return parent instanceof Error && 'code' in parent && CUT_CODES.has(String(parent.code));
}
