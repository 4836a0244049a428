import { type Queryable, rowsOf } from '../schema/queryable.ts';

/** What an account may do, one line of SHOW GRANTS; `null` stands for every database or every table. */
export type Grant = { privileges: readonly string[]; database: string | null; table: string | null; revoked: boolean };

/** The grants of the account that the connection was taken for, those of its active roles among them. */
export async function readGrants(db: Queryable): Promise<Grant[]> {
  const lines = await grantLines(db, 'SHOW GRANTS');
  const [row] = await rowsOf<{ roles: string | null }>(db, 'SELECT CURRENT_ROLE() AS roles');
  const roles = row?.roles == null || row.roles === 'NONE' ? [] : row.roles.split(/,(?=`|[^`]*$)/);
  for (const role of roles) {
    // `name`@`host` from MySQL, name from MariaDB.
    const quoted = role.startsWith('`') ? role : `\`${role.replaceAll('`', '``')}\``;
    lines.push(...(await grantLines(db, `SHOW GRANTS FOR ${quoted}`).catch(() => [])));
  }
  return lines.flatMap(parseGrant);
}

async function grantLines(db: Queryable, sql: string): Promise<string[]> {
  const rows = await rowsOf<Record<string, string>>(db, sql);
  return rows.flatMap((row) => Object.values(row));
}

/** Reads one line of SHOW GRANTS; grants of roles, of routines and of single columns give nothing. */
export const parseGrant = (line: string): Grant[] => {
  const found =
    /^(GRANT|REVOKE) (.+?) ON (?:TABLE )?(\*|`(?:[^`]|``)+`|'[^']+')\.(\*|`(?:[^`]|``)+`) (?:TO|FROM) /s.exec(line);
  if (found === null) return [];
  const [, verb, list = '', database = '', table = ''] = found;
  const privileges = list
    .split(/,\s*(?![^(]*\))/)
    .map((privilege) => privilege.trim().toUpperCase())
    .filter((privilege) => !privilege.includes('('));
  const name = (quoted: string) => (quoted === '*' ? null : quoted.slice(1, -1).replaceAll('``', '`'));
  return [{ privileges, database: name(database), table: name(table), revoked: verb === 'REVOKE' }];
};

/** Whether the grants allow something on a table. */
export const mayDo = (grants: readonly Grant[], privilege: string, database: string, table: string): boolean => {
  const named = ({ privileges }: Grant) =>
    privileges.includes(privilege) || privileges.some((one) => one.startsWith('ALL'));
  const covers = (grant: Grant) =>
    named(grant) && matches(grant.database, database) && (grant.table === null || grant.table === table);
  // A revoke takes back what was granted for every database, in one of them.
  const revoked = grants.some((grant) => grant.revoked && covers(grant));
  return grants.some((grant) => !grant.revoked && covers(grant) && !(revoked && grant.database === null));
};

/** Whether the account may do something that is granted for the whole server only. */
export const mayDoEverywhere = (grants: readonly Grant[], privilege: string): boolean =>
  grants.some(
    ({ privileges, database, revoked }) =>
      !revoked &&
      database === null &&
      (privileges.includes(privilege) || privileges.some((one) => one.startsWith('ALL'))),
  );

/** In a grant of a database `_` stands for any character and `%` for any number of them, unless escaped. */
const matches = (pattern: string | null, database: string): boolean => {
  if (pattern === null) return true;
  const source = pattern.replace(/\\([_%\\])|([_%])|([.*+?^${}()|[\]\\/-])/g, (_all, escaped, wild, other) =>
    escaped !== undefined
      ? `\\u{${escaped.codePointAt(0).toString(16)}}`
      : wild === '_'
        ? '.'
        : wild === '%'
          ? '.*'
          : `\\${other}`,
  );
  return new RegExp(`^${source}$`, 'su').test(database);
};

/** Accounts that may TRUNCATE or DROP a table, other than the one that asks; null where the server does not tell. */
export async function whoMayDrop(
  db: Queryable,
  database: string,
  table: string,
  self: string,
): Promise<string[] | null> {
  const lists = await Promise.all(
    ['USER', 'SCHEMA', 'TABLE'].map((level) =>
      rowsOf<{ grantee: string; database: string | null; name: string | null }>(
        db,
        `SELECT GRANTEE AS grantee, ${level === 'USER' ? 'NULL' : 'TABLE_SCHEMA'} AS \`database\`,
                ${level === 'TABLE' ? 'TABLE_NAME' : 'NULL'} AS name
         FROM information_schema.${level}_PRIVILEGES WHERE PRIVILEGE_TYPE = 'DROP'`,
      ),
    ),
  );
  const [others] = await rowsOf<{ seen: number }>(
    db,
    'SELECT COUNT(DISTINCT GRANTEE) AS seen FROM information_schema.USER_PRIVILEGES',
  );
  if (Number(others?.seen ?? 0) <= 1) return null;
  const own = self.replace(/^(.*)@(.*)$/, `'$1'@'$2'`);
  const found = lists
    .flat()
    .filter((row) => matches(row.database, database) && (row.name === null || row.name === table))
    .map(({ grantee }) => grantee)
    .filter((grantee) => grantee !== own && !/^'(root|mysql|mariadb)\.?/.test(grantee));
  return [...new Set(found)].sort();
}
