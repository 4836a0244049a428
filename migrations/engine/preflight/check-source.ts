import { kindOf } from '../row/column-codec.ts';
import { quoteTable } from '../schema/identifiers.ts';
import type { ServerFacts } from '../schema/read-server.ts';
import { columnOf, type TableSchema } from '../schema/table-schema.ts';
import { type Finding, refuse, warn } from './finding.ts';
import { type Grant, mayDo, mayDoEverywhere } from './privileges.ts';

/** What of the source table itself stands in the way of capturing it; `captured` is null where no mapping was found. */
export const checkSourceTable = (table: TableSchema, captured: readonly string[] | null, slice: string): Finding[] => {
  const where = `source ${table.database}.${table.name}`;
  const findings: Finding[] = [];
  if (table.tableType !== 'BASE TABLE') {
    findings.push(
      refuse('not-a-base-table', where, `expected a table, found a ${table.tableType}`, 'name the table under it'),
    );
    return findings;
  }
  if (table.storageEngine.toLowerCase() !== 'innodb') {
    const reason = `expected InnoDB, found ${table.storageEngine}: a change of it could not be one transaction with its outbox row`;
    findings.push(refuse('not-innodb', where, reason, `ALTER TABLE ${quoteTable(table)} ENGINE=InnoDB`));
  }
  if (table.primaryKey.length === 0) {
    const reason = 'it has no primary key, so that none of its rows could be told from another';
    findings.push(refuse('no-primary-key', where, reason, 'give it one'));
  }
  for (const name of captured ?? table.primaryKey) {
    const column = columnOf(table, name);
    if (kindOf(column) !== undefined) continue;
    const reason = `values of ${column.name} ${column.fullType} do not survive the way`;
    findings.push(
      refuse(
        'column-type-unsupported',
        where,
        reason,
        'leave the column out of the slice file, or move it by other means',
      ),
    );
  }
  for (const { name, onDelete, onUpdate, referencedTable } of table.foreignKeys) {
    const acts = [
      ['DELETE', onDelete],
      ['UPDATE', onUpdate],
    ].filter(([, rule]) => rule === 'CASCADE' || rule === 'SET NULL' || rule === 'SET DEFAULT');
    if (acts.length === 0) continue;
    const reason = `the foreign key ${name} changes its rows when ${referencedTable} changes (${acts.map(([event, rule]) => `ON ${event} ${rule}`).join(', ')}), and what a foreign key does fires no trigger`;
    const remedy = `make it RESTRICT and let the application, or a BEFORE trigger on ${referencedTable}, do what it did`;
    findings.push(refuse('foreign-key-cascade', where, reason, remedy));
  }
  const foreign = table.triggers.filter(
    ({ name, body }) => !name.startsWith('strangler_') && !body.includes('strangler-capture'),
  );
  if (foreign.length > 0) {
    const list = foreign.map(({ name, timing, event }) => `${name} (${timing} ${event})`).join(', ');
    const reason = `it has triggers of its own: ${list}. What BEFORE triggers make of a row is captured; what AFTER triggers write elsewhere is captured where that table is`;
    findings.push(
      warn(
        'trigger-present',
        where,
        reason,
        `see that every table they write to is in the slice ${slice}, or does not matter to it`,
      ),
    );
  }
  if (table.partitioned) {
    const reason = 'it is partitioned: TRUNCATE PARTITION, DROP PARTITION and EXCHANGE PARTITION fire no triggers';
    findings.push(
      warn('partition-operations', where, reason, 'do none of them until the slice is complete; run verify after one'),
    );
  }
  return findings;
};

/** What the account on the source lacks to capture tables there. */
export const checkSourceAccount = (
  grants: readonly Grant[],
  server: ServerFacts,
  tables: readonly string[],
): Finding[] => {
  const { database, account, dialect } = server;
  const findings: Finding[] = [];
  const lacks = (privilege: string, table: string, on: string, why: string) => {
    if (mayDo(grants, privilege, database, table)) return;
    const reason = `${account} lacks ${privilege} on ${on}: ${why}`;
    findings.push(
      refuse('privilege-missing', `source ${database}`, reason, `GRANT ${privilege} ON ${on} TO that account`),
    );
  };
  for (const table of tables) {
    for (const privilege of ['SELECT', 'TRIGGER', 'LOCK TABLES']) {
      const on = privilege === 'LOCK TABLES' ? `${database}.*` : `${database}.${table}`;
      lacks(privilege, table, on, 'the capture triggers are made and run with it');
    }
  }
  const own = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'CREATE', 'ALTER', 'DROP', 'INDEX'];
  // CREATE OR REPLACE asks for ALTER ROUTINE even where there is nothing to replace.
  if (dialect === 'mariadb') own.push('CREATE ROUTINE', 'ALTER ROUTINE', 'EXECUTE');
  for (const privilege of own) lacks(privilege, 'strangler_outbox', `${database}.*`, 'the outbox is kept with it');
  const needsSuper = server.binaryLog && !server.trustsFunctionCreators;
  if (needsSuper && !mayDoEverywhere(grants, 'SUPER')) {
    const reason = `the server writes a binary log and log_bin_trust_function_creators is off, so CREATE TRIGGER needs SUPER, and ${account} lacks it`;
    findings.push(
      refuse(
        'trigger-creation-barred',
        `source ${database}`,
        reason,
        'SET GLOBAL log_bin_trust_function_creators = 1, or grant SUPER for the installation',
      ),
    );
  }
  return dropRepeats(findings);
};

/** What the account on the target lacks to write there. */
export const checkTargetAccount = (
  grants: readonly Grant[],
  server: ServerFacts,
  tables: readonly string[],
): Finding[] => {
  const { database, account } = server;
  const needed = [
    ...tables.map((table) => ({
      table,
      on: `${database}.${table}`,
      privileges: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
    })),
    {
      table: 'strangler_versions',
      on: `${database}.*`,
      privileges: ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'CREATE', 'DROP'],
    },
  ];
  const findings = needed.flatMap(({ table, on, privileges }) =>
    privileges
      .filter((privilege) => !mayDo(grants, privilege, database, table))
      .map((privilege) => {
        const reason = `${account} lacks ${privilege} on ${on}: rows and their versions are written with it`;
        return refuse('privilege-missing', `target ${database}`, reason, `GRANT ${privilege} ON ${on} TO that account`);
      }),
  );
  return dropRepeats(findings);
};

const dropRepeats = (findings: readonly Finding[]): Finding[] => [
  ...new Map(findings.map((finding) => [finding.reason, finding])).values(),
];
