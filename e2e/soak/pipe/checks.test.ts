import { expect, test } from '@jest/globals';
import { compareHistories } from './checks.ts';

const change = (keyText: string, op: string, n: number | '') => ({ subject: 'goods', keyText, op, n: String(n) });
const journal = [
  change('1', 'upsert', 1),
  change('1', 'delete', 2),
  change('1', 'upsert', 3),
  change('2', 'upsert', 1),
];
const outbox = [
  change('2', 'upsert', 1),
  change('1', 'upsert', 1),
  change('1', 'delete', ''),
  change('1', 'upsert', 3),
];

test('keys may be told in any order among each other, one key only in its own', () => {
  expect(compareHistories(journal, outbox)).toEqual([]);
  expect(compareHistories(journal, [outbox[0]!, outbox[1]!, outbox[3]!, outbox[2]!])).toEqual([
    'goods 1: expected delete as change 2, found upsert 3',
  ]);
});

test('a change that is missing, told twice or of nobody is told', () => {
  expect(compareHistories(journal, outbox.slice(1))).toEqual(['goods 2: expected upsert 1 as change 1, found none']);
  expect(compareHistories(journal, [...outbox, outbox[3]!])).toEqual([
    'goods 1: expected no more as change 4, found upsert 3',
  ]);
  expect(compareHistories(journal, [...outbox, change('3', 'delete', '')])).toEqual([
    'goods 3: expected no more as change 1, found delete',
  ]);
});
