import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import type { Engine } from '../addresses.ts';
import { writeWhole } from '../home/paths.ts';
import { packageSets } from '../packages/sets.ts';
import { withLock } from '../process/lock.ts';
import { runCommand } from '../process/run.ts';
import { PROBE_TIMEOUT_MS, type ServerAddress, type ServerDefinition, type ServerPlan } from './definition.ts';

const INITIALISE_TIMEOUT_MS = 180_000;
/** Also keeps it from looking for the folder that the package would have made. */
const NO_FILE_ACCESS = '--secure-file-priv=NULL';

export const mysqlServer: ServerDefinition = {
  engine: 'mysql',
  title: 'MySQL',
  packages: packageSets.mysql,
  machine: { names: ['mysqld'], versionArgs: ['--no-defaults', '--version'], version: mysqlVersion },
  ports: ['main'],
  stopWithinMs: 30_000,
  async prepare(plan) {
    await prepareData(plan, 'mysql', async (folder) => {
      const args = [...common(plan, folder), NO_FILE_ACCESS, '--innodb-redo-log-capacity=8M', '--initialize-insecure'];
      await must(plan, args);
    });
  },
  commands: (plan) => [
    {
      role: 'mysqld',
      command: plan.installation.command(plan.installation.program, [
        ...common(plan, dataFolder(plan, 'mysql')),
        ...serving(plan),
        NO_FILE_ACCESS,
        '--mysqlx=OFF',
        '--innodb-redo-log-capacity=128M',
        '--binlog-expire-logs-seconds=7200',
      ]),
    },
  ],
  address: databaseAddress,
  probe: probeDatabase,
};

/** Throws away what a MariaDB answers; 8.0 is the oldest MySQL that is supported. */
export function mysqlVersion(output: string): string | undefined {
  const match = /\bVer (\d+)(\.\d+\.\d+)/.exec(output);
  return match !== null && !/mariadb/i.test(output) && Number(match[1]) >= 8 ? `${match[1]}${match[2]}` : undefined;
}

/** Options of every run of the server: where its files are, and nothing from the machine's configuration. */
export function common(plan: Pick<ServerPlan, 'installation' | 'folder'>, folder: string): string[] {
  const { prefix } = plan.installation;
  return [
    '--no-defaults',
    `--basedir=${prefix}`,
    `--datadir=${folder}`,
    // A server that starts deletes the temporary tables that it finds there, be they another one's.
    `--tmpdir=${plan.folder}`,
    '--character-set-server=utf8mb4',
    // The server refuses to run as root unless told to.
    ...(process.getuid?.() === 0 ? ['--user=root'] : []),
    ...(existsSync(join(prefix, 'share/mysql/english')) ? [`--lc-messages-dir=${join(prefix, 'share/mysql')}`] : []),
  ];
}

/** Options for serving that both engines know: loopback only, row binary log, UTC, modest memory. */
export function serving(plan: Pick<ServerPlan, 'ports' | 'settings' | 'folder'>): string[] {
  return [
    '--bind-address=127.0.0.1',
    `--port=${plan.ports.main}`,
    // Relative to the data folder: an absolute path may not be longer than 107 characters.
    '--socket=mysqld.sock',
    `--pid-file=${join(plan.folder, 'mysqld.pid')}`,
    `--init-file=${join(plan.folder, 'accounts.sql')}`,
    '--skip-name-resolve',
    '--default-time-zone=+00:00',
    '--server-id=1',
    '--log-bin=binlog',
    '--log-bin-trust-function-creators=1',
    '--innodb-buffer-pool-size=256M',
    `--innodb-flush-log-at-trx-commit=${plan.settings.flushLogAtCommit}`,
    // The two logs are as durable as each other.
    `--sync-binlog=${plan.settings.flushLogAtCommit === 1 ? 1 : 0}`,
    '--max-connections=500',
    '--local-infile=0',
  ];
}

/** Each engine has its own: neither can read the other's files. */
export function dataFolder(plan: Pick<ServerPlan, 'folder'>, engine: Engine): string {
  return join(plan.folder, `data-${engine}`);
}

/**
 * Lays out the data folder: a copy of an initialised one, which is made the first time a version is used. The
 * administrator's account is written as a file that the server runs at each start.
 */
export async function prepareData(
  plan: ServerPlan,
  engine: Engine,
  initialise: (folder: string) => Promise<void>,
): Promise<void> {
  mkdirSync(plan.folder, { recursive: true, mode: 0o700 });
  const account = `'stack'@'127.0.0.1'`;
  const accounts = [
    `CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY '${plan.secret}';`,
    `ALTER USER ${account} IDENTIFIED BY '${plan.secret}';`,
    `GRANT ALL PRIVILEGES ON *.* TO ${account} WITH GRANT OPTION;`,
  ];
  writeWhole(join(plan.folder, 'accounts.sql'), `${accounts.join('\n')}\n`);
  const data = dataFolder(plan, engine);
  if (existsSync(data)) return;
  const { source, version } = plan.installation;
  const template = join(plan.home.templates, `${engine}-${version}-${source}`);
  await withLock(
    `${template}.lock`,
    { waitMs: INITIALISE_TIMEOUT_MS, what: 'the data template', signal: plan.signal },
    async () => {
      if (existsSync(template)) return;
      const temporary = `${template}.part-${randomBytes(3).toString('hex')}`;
      try {
        mkdirSync(temporary, { recursive: true, mode: 0o700 });
        await initialise(temporary);
        // Every copy makes a server id of its own.
        rmSync(join(temporary, 'auto.cnf'), { force: true });
        renameSync(temporary, template);
      } finally {
        rmSync(temporary, { recursive: true, force: true });
      }
    },
  );
  const temporary = `${data}.part`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { mode: 0o700 });
  const copy = await runCommand(
    { file: 'cp', args: ['-a', '--reflink=auto', `${template}/.`, temporary] },
    { timeoutMs: 120_000, signal: plan.signal },
  );
  if (copy.code !== 0) throw new Error(`the data folder could not be copied to ${data}: ${copy.stderr.trim()}`);
  renameSync(temporary, data);
}

/** Runs the server program to its end. Throws with its last lines when it fails. */
export async function must(plan: ServerPlan, args: string[], input?: string): Promise<void> {
  const command = plan.installation.command(plan.installation.program, args);
  const result = await runCommand(command, {
    timeoutMs: INITIALISE_TIMEOUT_MS,
    signal: plan.signal,
    ...(input === undefined ? {} : { input }),
  });
  plan.signal?.throwIfAborted();
  if (result.code === 0) return;
  const tail = `${result.stdout}\n${result.stderr}`.trim().split('\n').slice(-12).join('\n  ');
  throw new Error(`${command.file} ${command.args.join(' ')} ended with ${result.code ?? result.signal}\n  ${tail}`);
}

export function databaseAddress(ports: Record<string, number>, secret: string): ServerAddress {
  return { url: `mysql://stack:${secret}@127.0.0.1:${ports.main}/` };
}

export async function probeDatabase({ url }: ServerAddress): Promise<void> {
  const connection = await createConnection({ uri: url, connectTimeout: PROBE_TIMEOUT_MS });
  try {
    await connection.query({ sql: 'SELECT 1', timeout: PROBE_TIMEOUT_MS });
  } finally {
    connection.destroy();
  }
}
