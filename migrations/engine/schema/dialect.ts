import type { Dialect } from '@strangler/platform/mysql/pool.ts';

/** All in which the two engines' ways of describing a table differ. */
export type SchemaDialect = {
  /** SQL of whether a collation (its row in information_schema.COLLATIONS is `l`) pads with spaces: 1 or 0. */
  padsSpaceSql: string;
  /** SQL of an index part's expression (its row in information_schema.STATISTICS is `s`), or NULL. */
  indexExpressionSql: string;
  /** Lists columns declared JSON where the engine keeps them as text: `name`; takes database and table. */
  jsonAliasesSql: string | null;
};

export const schemaDialects: Readonly<Record<Dialect, SchemaDialect>> = {
  mysql: {
    padsSpaceSql: `l.PAD_ATTRIBUTE = 'PAD SPACE'`,
    indexExpressionSql: 's.EXPRESSION',
    jsonAliasesSql: null,
  },
  mariadb: {
    padsSpaceSql: `c.COLLATION_NAME NOT LIKE '%nopad%'`,
    indexExpressionSql: 'NULL',
    // JSON is LONGTEXT with a check of the column's own name.
    jsonAliasesSql: `SELECT CONSTRAINT_NAME AS name FROM information_schema.CHECK_CONSTRAINTS
      WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ? AND LEVEL = 'Column'
        AND CHECK_CLAUSE = CONCAT('json_valid(\`', REPLACE(CONSTRAINT_NAME, '\`', '\`\`'), '\`)')`,
  },
};
