import { formatVersion } from '@strangler/platform/contracts/row-message.ts';
import { formatKey } from '../engine/repair/key-argument.ts';
import type { RowDifference } from '../engine/verify/verify.ts';
import { formatTable } from './table.ts';

/** How much of a value is shown, in characters, unless all of it is asked for. */
export const shownChars = 80;

/** How many characters before the first that differ are shown of two long values. */
const shownBefore = 20;

/** A difference for people: the row, and side by side what should be and what is. `full` shows whole values of all columns. */
export const describeDifference = (difference: RowDifference, full: boolean): string => {
  const { table, how, key, version } = difference;
  const shown = shownColumns(difference, full);
  const what = { changed: 'changed in', missing: 'missing in', extra: 'should not be in' }[how];
  const head = `${table} ${formatKey(Object.values(key))}: ${what} the service's database, version ${formatVersion(version)}`;
  if (shown.length === 0) return head;
  const rows = formatTable(
    ['COLUMN', "EXPECTED (monolith's)", "FOUND (service's)"],
    shown.map(({ column, expected, found }) => [column, expected, found]),
  );
  return `${head}\n${rows.replace(/^/gm, '  ')}`;
};

/** The same for programs. Unless `full`, of the values only those that differ, and no more of each than people are shown. */
export const differenceEvent = (difference: RowDifference, full: boolean): object => {
  if (full) return { kind: 'difference', ...difference };
  const { expected, found, ...rest } = difference;
  const cut = (row: RowDifference['found'], other: RowDifference['found']) =>
    row && Object.fromEntries(rest.columns.map((column) => [column, cutValue(row[column], other?.[column])]));
  return { kind: 'difference', ...rest, expected: cut(expected, found), found: cut(found, expected) };
};

type ShownColumn = { column: string; expected: string; found: string };

const shownColumns = ({ columns, expected, found }: RowDifference, full: boolean): ShownColumn[] => {
  const names = full ? Object.keys(expected ?? found ?? {}) : columns;
  const show = (value: string | null | undefined, other: string | null | undefined): string => {
    const text = full ? value : cutValue(value, other);
    return text === undefined ? '-' : text === null ? 'NULL' : JSON.stringify(text);
  };
  return names.map((column) => {
    const [should, is] = [expected?.[column], found?.[column]];
    return { column, expected: show(should, is), found: show(is, should) };
  });
};

/** So much of a long value that what differs from the other can be seen. */
const cutValue = (value: string | null | undefined, other: string | null | undefined): string | null | undefined => {
  if (typeof value !== 'string' || value.length <= shownChars) return value;
  const from = Math.max(0, firstDifference(value, other ?? '') - shownBefore);
  const part = value.slice(from, from + shownChars).replace(/^[\uDC00-\uDFFF]|[\uD800-\uDBFF]$/g, '');
  return `${from > 0 ? '…' : ''}${part}${from + shownChars < value.length ? '…' : ''}`;
};

const firstDifference = (one: string, other: string): number => {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at += 1;
  return at;
};
