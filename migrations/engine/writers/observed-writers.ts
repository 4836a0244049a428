import { outboxTable } from '@strangler/platform/outbox/schema.ts';
import { type Queryable, rowsOf } from '../schema/queryable.ts';

/** Somebody who was seen to write a slice's tables, as its captured changes tell. */
export type ObservedWriter = {
  user: string;
  host: string;
  /** What the session had set as `@strangler_request`; null where it had set nothing. */
  request: string | null;
  tables: string[];
  changes: number;
  /** Of its changes that the outbox still holds: the first and the last, UTC, `YYYY-MM-DD hh:mm:ss.ffffff`. */
  firstAt: string;
  lastAt: string;
};

/** How many of the newest outbox rows are looked at, unless told. */
const defaultNewest = 1_000_000;

/**
 * Who wrote a slice's tables, most changes first, by the outbox's newest rows. Numbers in a request (`/products/42`)
 * are taken together as `:n`, so that a route is one line.
 */
export async function observedWriters(
  db: Queryable,
  { slice, newest = defaultNewest }: { slice: string; newest?: number },
): Promise<ObservedWriter[]> {
  const rows = await rowsOf<ChangeGroup>(
    db,
    `SELECT o.headers_user AS account, o.headers_request AS request, o.subject AS \`table\`, COUNT(*) AS changes,
            CAST(MIN(o.created_at) AS CHAR) AS firstAt, CAST(MAX(o.created_at) AS CHAR) AS lastAt
     FROM (SELECT subject, created_at, JSON_VALUE(headers, '$.user') AS headers_user,
                  JSON_VALUE(headers, '$.request') AS headers_request
           FROM ${outboxTable}
           WHERE kind = 'row' AND topic LIKE ? AND id > (SELECT GREATEST(COALESCE(MAX(id), 0), ?) - ? FROM ${outboxTable})) o
     GROUP BY account, request, o.subject`,
    [`${slice.replace(/[\\_%]/g, '\\$&')}.%`, newest, newest],
  );
  return gatherWriters(rows);
}

export type ChangeGroup = {
  account: string;
  request: string | null;
  table: string;
  changes: number | string;
  firstAt: string;
  lastAt: string;
};

/** Takes together what one user did from one host for one route. */
export const gatherWriters = (groups: readonly ChangeGroup[]): ObservedWriter[] => {
  const writers = new Map<string, ObservedWriter>();
  for (const { account, request, table, changes, firstAt, lastAt } of groups) {
    const at = account.lastIndexOf('@');
    const [user, host] = [account.slice(0, at), account.slice(at + 1)];
    const route = request === null ? null : routeOf(request);
    const key = JSON.stringify([user, host, route]);
    const known = writers.get(key);
    if (known === undefined) {
      writers.set(key, { user, host, request: route, tables: [table], changes: Number(changes), firstAt, lastAt });
      continue;
    }
    if (!known.tables.includes(table)) known.tables.push(table);
    known.changes += Number(changes);
    if (firstAt < known.firstAt) known.firstAt = firstAt;
    if (lastAt > known.lastAt) known.lastAt = lastAt;
  }
  for (const writer of writers.values()) writer.tables.sort();
  return [...writers.values()].sort((one, other) => other.changes - one.changes || (one.user < other.user ? -1 : 1));
};

/** A path's segments that are numbers or UUIDs as `:n`; its query is dropped. */
const routeOf = (request: string): string =>
  request.replace(/\?.*$/s, '').replace(/(?<=\/)(\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})(?=\/|$)/gi, ':n');
