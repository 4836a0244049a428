import { createHash } from 'node:crypto';
import type { Problem } from '@strangler/platform/http/problem.ts';
import { integerText } from '@strangler/platform/http/validate.ts';
import { z } from 'zod';
import { invalid } from './invalid.ts';

export const DEFAULT_PAGE_LIMIT = 20;
export const MAX_PAGE_LIMIT = 100;

/** Enough for the longest name that a product can have, however JSON has to escape it. */
const MAX_CURSOR_CHARACTERS = 2000;

/** One page of a list, as it is answered. */
export type Page<Item> = { items: Item[]; next_cursor: string | null };

/** Where a page ended: the sort key and id of its last item, and which list it belongs to. */
export type Cursor<Key extends string | number> = { key: Key; id: number };

/** The query parameters that every list takes. */
export const pageParameters = {
  limit: integerText({ min: 1, max: MAX_PAGE_LIMIT }).default(DEFAULT_PAGE_LIMIT),
  cursor: z.string().max(MAX_CURSOR_CHARACTERS).optional(),
};

/**
 * A short digest of everything that decides which items a list has, and in which order (not of the limit). A cursor
 * carries it, so that it is refused in a list with other filters.
 */
export function listFingerprint(list: Record<string, string | number | undefined>): string {
  const canonical = Object.keys(list)
    .sort()
    .filter((name) => list[name] !== undefined)
    .map((name) => [name, list[name]]);
  return createHash('sha256').update(JSON.stringify(canonical)).digest('hex').slice(0, 16);
}

export function encodeCursor(cursor: Cursor<string | number>, fingerprint: string): string {
  return Buffer.from(JSON.stringify({ k: cursor.key, i: cursor.id, f: fingerprint })).toString('base64url');
}

/** Reads a cursor made by `encodeCursor`; throws a 400 problem for one that is damaged or belongs to another list. */
export function decodeCursor<Key extends string | number>(
  text: string,
  { fingerprint, key }: { fingerprint: string; key: z.ZodType<Key> },
): Cursor<Key> {
  const schema = z.strictObject({ k: key, i: z.int().min(1), f: z.string() });
  const parsed = schema.safeParse(parseJson(Buffer.from(text, 'base64url').toString('utf8')));
  if (!/^[\w-]+$/.test(text) || !parsed.success) {
    // A cursor of another sort may fail on its key: what is wrong is then the same as with another fingerprint.
    throw cursorProblem('is not a cursor of this list; start again without one');
  }
  if (parsed.data.f !== fingerprint) {
    throw cursorProblem('belongs to a list with other filters or another sort; start again without it');
  }
  return { key: parsed.data.k as Key, id: parsed.data.i };
}

/** A page out of the rows of a query that asked for one more than the limit. */
export function pageOf<Row, Item>(
  rows: Row[],
  options: {
    limit: number;
    fingerprint: string;
    cursorOf: (row: Row) => Cursor<string | number>;
    toItem: (row: Row) => Item;
  },
): Page<Item> {
  const shown = rows.slice(0, options.limit);
  const last = shown.at(-1);
  const more = rows.length > options.limit && last !== undefined;
  return {
    items: shown.map(options.toItem),
    next_cursor: more ? encodeCursor(options.cursorOf(last), options.fingerprint) : null,
  };
}

function cursorProblem(message: string): Problem {
  return invalid('query', 'cursor', message);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
