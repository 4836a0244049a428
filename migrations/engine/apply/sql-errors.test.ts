import { expect, test } from '@jest/globals';
import { faultOf, isServerAway } from './sql-errors.ts';

test('a duplicate is told by the name of its key, as either engine says it', () => {
  const mysql = { errno: 1062, sqlMessage: "Duplicate entry 'secret' for key 'users.by_email'" };
  const mariadb = { errno: 1062, sqlMessage: "Duplicate entry 'se'cret' for key 'by_email'" };
  expect(faultOf(mysql)).toEqual({ kind: 'clash', uniqueKey: 'by_email' });
  expect(faultOf(mariadb)).toEqual({ kind: 'clash', uniqueKey: 'by_email' });
});

test('a value that the target cannot take is told without the value', () => {
  const fault = faultOf({ errno: 1366, sqlMessage: "Incorrect integer value: 'secret' for column 'code' at row 2" });
  expect(fault).toEqual({
    kind: 'refused',
    reason: "error 1366: Incorrect integer value: '…' for column 'code' at row 2",
  });
});

test('locks, lost connections and bugs are not the fault of a row', () => {
  for (const error of [{ errno: 1213 }, { errno: 1205 }, { errno: 1064 }, new Error('no'), null, 'no']) {
    expect(faultOf(error)).toEqual({ kind: 'other' });
  }
});

test('a server that is away is told from one that refuses', () => {
  expect(isServerAway(Object.assign(new Error('no'), { code: 'ECONNREFUSED' }))).toBe(true);
  expect(isServerAway(new Error('wrapped', { cause: { code: 'PROTOCOL_CONNECTION_LOST' } }))).toBe(true);
  expect(isServerAway(new Error("Can't add new command when connection is in closed state"))).toBe(true);
  expect(isServerAway({ errno: 1064, code: 'ER_PARSE_ERROR', message: 'syntax' })).toBe(false);
});
