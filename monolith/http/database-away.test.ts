import { expect, test } from '@jest/globals';
import { Problem } from '@strangler/platform/http/problem.ts';
import type { Request, Response } from 'express';
import { ConnectionAcquireTimeoutError, ConnectionRefusedError, DatabaseError, UniqueConstraintError } from 'sequelize';
import { databaseAway } from './database-away.ts';

const handled = (error: unknown): unknown => {
  let passed: unknown;
  databaseAway()(error, {} as Request, {} as Response, (next) => {
    passed = next;
  });
  return passed;
};

const sqlError = (code: string, errno: number) => Object.assign(new Error(code), { code, errno, sql: '' });

test.each([
  ['no connection is free', new ConnectionAcquireTimeoutError(new Error('none'))],
  ['the server is not there', new ConnectionRefusedError(new Error('refused'))],
  ['the connection is lost in mid-statement', new DatabaseError(sqlError('PROTOCOL_CONNECTION_LOST', 0))],
  ['a lock is held for too long', new DatabaseError(sqlError('ER_LOCK_WAIT_TIMEOUT', 1205))],
])('when %s, the client is asked to come back', (_what, error) => {
  const problem = handled(error) as Problem;
  expect(problem).toBeInstanceOf(Problem);
  expect(problem.status).toBe(503);
  expect(problem.headers).toMatchObject({ 'retry-after': '1' });
  expect(problem.cause).toBe(error);
});

test('what the database refuses for good stays what it is', () => {
  for (const error of [
    new UniqueConstraintError({}),
    new DatabaseError(sqlError('ER_PARSE_ERROR', 1064)),
    new Error('x'),
  ]) {
    expect(handled(error)).toBe(error);
  }
});
