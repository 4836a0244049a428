import { expect, test } from '@jest/globals';
import type { RowDifference } from '../engine/verify/verify.ts';
import { describeDifference, differenceEvent } from './difference-text.ts';

const difference = (more: Partial<RowDifference> = {}): RowDifference => ({
  table: 'products',
  how: 'changed',
  key: { shop: 'a/b', no: '34' },
  keyText: '4100/34',
  version: { epoch: 1, id: '4711' },
  columns: ['name'],
  expected: { shop: 'a/b', no: '34', name: 'Kettle', secret: 'hush' },
  found: { shop: 'a/b', no: '34', name: 'Kettle ', secret: 'hush' },
  ...more,
});

test('a changed row is told by its key as it is typed, its version, and what differs side by side', () => {
  expect(describeDifference(difference(), false)).toBe(
    [
      "products a~1b/34: changed in the service's database, version 1/4711",
      "  COLUMN  EXPECTED (monolith's)  FOUND (service's)",
      '  name    "Kettle"               "Kettle "',
    ].join('\n'),
  );
});

test('NULL is told apart from nothing and from the word', () => {
  const told = (name: string | null) =>
    describeDifference(difference({ found: { ...difference().found, name } }), false)
      .split('  ')
      .at(-1)
      ?.trim();
  expect([null, '', 'NULL'].map(told)).toEqual(['NULL', '""', '"NULL"']);
});

test('of columns that do not differ nothing is told, unless all is asked for', () => {
  expect(describeDifference(difference(), false)).not.toContain('hush');
  expect(JSON.stringify(differenceEvent(difference(), false))).not.toContain('hush');
  expect(describeDifference(difference(), true)).toContain('hush');
  expect(differenceEvent(difference(), true)).toEqual({ kind: 'difference', ...difference() });
});

test('of long values so much is told that the difference can be seen', () => {
  const long = (end: string) => ({ name: `${'x'.repeat(500)}${end}${'y'.repeat(500)}` });
  const one = difference({ expected: long('A'), found: long('a') });
  const lines = describeDifference(one, false).split('\n');
  expect(lines.at(-1)).toContain(`"…${'x'.repeat(20)}A${'y'.repeat(59)}…"`);
  expect(lines.at(-1)).toContain(`"…${'x'.repeat(20)}a${'y'.repeat(59)}…"`);
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(200);
  expect(JSON.stringify(differenceEvent(one, false)).length).toBeLessThan(500);
  expect(describeDifference(one, true)).toContain('x'.repeat(500));
});

test('a row that only one side has is told as such, its values only where all is asked for', () => {
  const missing = difference({ how: 'missing', columns: [], found: null });
  expect(describeDifference(missing, false)).toBe(
    "products a~1b/34: missing in the service's database, version 1/4711",
  );
  expect(describeDifference(missing, true)).toContain('hush');
  expect(differenceEvent(missing, false)).toMatchObject({ how: 'missing', expected: {}, found: null });
  const extra = difference({ how: 'extra', columns: [], expected: null });
  expect(describeDifference(extra, false)).toContain("should not be in the service's database");
});
