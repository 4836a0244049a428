import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageSets } from '../packages/sets.ts';
import type { ServerDefinition } from './definition.ts';
import { common, databaseAddress, dataFolder, must, prepareData, probeDatabase, serving } from './mysql.ts';

/** What mariadb-install-db feeds a server that runs with --bootstrap, in its order. */
const systemTables = [
  'mysql_system_tables.sql',
  'mysql_performance_tables.sql',
  'mysql_system_tables_data.sql',
  'maria_add_gis_sp_bootstrap.sql',
];

export const mariadbServer: ServerDefinition = {
  engine: 'mariadb',
  title: 'MariaDB',
  packages: packageSets.mariadb,
  machine: { names: ['mariadbd', 'mysqld'], versionArgs: ['--no-defaults', '--version'], version: mariadbVersion },
  ports: ['main'],
  stopWithinMs: 30_000,
  async prepare(plan) {
    await prepareData(plan, 'mariadb', async (folder) => {
      mkdirSync(join(folder, 'mysql'));
      const share = join(plan.installation.prefix, 'share/mysql');
      const statements = ['use mysql;', ...systemTables.map((name) => readFileSync(join(share, name), 'utf8'))];
      const args = [...common(plan, folder), '--bootstrap', '--enforce-storage-engine=', '--innodb-log-file-size=8M'];
      await must(plan, args, statements.join('\n'));
    });
  },
  commands: (plan) => [
    {
      role: 'mariadbd',
      command: plan.installation.command(plan.installation.program, [
        ...common(plan, dataFolder(plan, 'mariadb')),
        ...serving(plan),
        `--secure-file-priv=${plan.folder}`,
        '--binlog-format=ROW',
        '--innodb-log-file-size=96M',
        '--collation-server=utf8mb4_unicode_ci',
      ]),
    },
  ],
  address: databaseAddress,
  probe: probeDatabase,
};

/** 10.6 is the oldest MariaDB that is supported. */
export function mariadbVersion(output: string): string | undefined {
  const match = /\bVer (\d+)\.(\d+)(\.\d+)-MariaDB/.exec(output);
  if (match === null) return undefined;
  const [, major = '0', minor = '0', patch = ''] = match;
  return Number(major) > 10 || (Number(major) === 10 && Number(minor) >= 6) ? `${major}.${minor}${patch}` : undefined;
}
