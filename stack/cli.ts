import { existsSync, readFileSync, rmSync } from 'node:fs';
import { Command } from 'commander';
import { type ServerName, serverNames } from './addresses.ts';
import { stackHome } from './home/paths.ts';
import { stackSettings } from './home/settings.ts';
import { instanceNames, readRecord } from './instance/records.ts';
import { runCommand } from './process/run.ts';
import { serviceCommand } from './source/docker.ts';

const program = new Command('stack')
  .description('Real MySQL or MariaDB, RabbitMQ, Redis and Consul for this repository, on loopback ports of their own.')
  .addHelpText(
    'after',
    `
Environment:
  STACK_INSTANCE          which set of servers (default dev)
  STACK_DB                mysql or mariadb; unset: MySQL, or MariaDB where MySQL cannot be had
  STACK_MYSQL_URL, STACK_RABBITMQ_URL, STACK_REDIS_URL, STACK_CONSUL_URL   use a server that runs already
  STACK_MYSQL_PORT, STACK_RABBITMQ_PORT, STACK_REDIS_PORT, STACK_CONSUL_PORT   instead of free ports
  STACK_SOURCES           where to look (default environment,docker,machine,packages)
  STACK_HOME, STACK_CACHE where servers and data (default .stack), and downloads, are kept
  STACK_FLUSH_LOG_AT_COMMIT   innodb_flush_log_at_trx_commit (default 1; with others the binary log is not synced either)
  STACK_READY_WITHIN_MS   how long a server may take to answer (default 120000)

Exit codes: 0 done, 1 failed (status: not everything answers), 2 wrong usage, 130 interrupted`,
  )
  .showHelpAfterError()
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));

/** Drivers of all four servers come with it: wrong usage, help and logs need none. */
const servers = () => import('./servers.ts');
const tell = (line: string): void => void process.stderr.write(`${line}\n`);
const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);

program
  .command('up')
  .description('start what is not running, and wait until all four answer')
  .option('--json', 'print the addresses as JSON')
  .action(async ({ json }: { json?: true }) => {
    const started = performance.now();
    const { upStack } = await servers();
    const addresses = await upStack({ log: tell, signal: interruption() });
    if (json) print(addresses);
    else {
      for (const [name, value] of Object.entries(addresses)) console.log(`${name.padEnd(22)} ${value}`);
      tell(`up after ${((performance.now() - started) / 1000).toFixed(1)} s; npm run stack -- down takes it down`);
    }
  });

program
  .command('down')
  .description('stop what was started here; data is kept')
  .option('--json', 'print the outcome as JSON')
  .action(async ({ json }: { json?: true }) => {
    const { instance } = stackSettings();
    const { downStack } = await servers();
    await downStack(instance, { log: tell });
    if (json) print({ instance, up: false });
    else console.log(`instance ${instance} is down`);
  });

program
  .command('status')
  .description('what runs and whether it answers')
  .option('--json', 'print the state as JSON')
  .action(async ({ json }: { json?: true }) => {
    const { instance } = stackSettings();
    const { statusStack } = await servers();
    const status = await statusStack(instance);
    if (json) print({ instance, ...status });
    else {
      for (const { name, state, record, fault } of status.servers) {
        const what = record === undefined ? '' : `${record.engine ?? name} ${record.version} (${record.source})`;
        const pids = record?.processes.map(({ pid }) => pid).join(',') ?? '';
        console.log(
          [
            name.padEnd(9),
            state.padEnd(9),
            what.padEnd(28),
            state === 'down' ? '' : (record?.url ?? ''),
            pids && `pid ${pids}`,
            fault ?? '',
          ]
            .filter((part) => part !== '')
            .join('  '),
        );
      }
      if (!status.up) console.log(`instance ${instance} is not up; npm run stack -- up starts it`);
    }
    process.exitCode = status.up ? 0 : 1;
  });

program
  .command('logs')
  .argument('<name>', `one of ${serverNames.join(', ')}`)
  .option('-n, --lines <count>', 'how many lines from the end', '100')
  .description("the end of a server's log")
  .action(async (name: string, { lines }: { lines: string }) => {
    if (!serverNames.includes(name as ServerName)) {
      program.error(`error: no server is called ${JSON.stringify(name)}; expected one of ${serverNames.join(', ')}`);
    }
    const { instance } = stackSettings();
    const record = readRecord(stackHome(), instance, name as ServerName);
    if (record?.source === 'docker') {
      const stack = { instance, engine: record.engine ?? ('mysql' as const), ports: {}, secret: record.secret };
      process.stdout.write(
        (await runCommand(serviceCommand(stack, 'logs', name as ServerName), { timeoutMs: 30_000 })).stdout,
      );
      return;
    }
    if (record?.log === undefined || !existsSync(record.log))
      throw new Error(`instance ${instance} has no log of ${name}`);
    const text = readFileSync(record.log, 'utf8').trimEnd().split('\n').slice(-Number(lines));
    console.log(text.join('\n'));
    tell(record.log);
  });

program
  .command('purge')
  .option('--all', 'every instance, and the unpacked packages and downloads too')
  .option('--json', 'print the outcome as JSON')
  .description('stop the instance and delete its data')
  .action(async ({ all, json }: { all?: true; json?: true }) => {
    const home = stackHome();
    const instances = all ? instanceNames(home) : [stackSettings().instance];
    const { downStack } = await servers();
    for (const instance of instances) await downStack(instance, { purge: true, log: tell });
    if (all)
      for (const folder of [home.packages, home.templates, home.apt, home.downloads])
        rmSync(folder, { recursive: true, force: true });
    if (json) print({ purged: instances, packages: all ?? false });
    else console.log(`deleted the data of ${instances.join(', ') || 'no instance'}${all ? ', and all packages' : ''}`);
  });

/** Aborts at the first Ctrl-C or SIGTERM; what was started so far is then taken down again. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      tell('interrupted; taking down what was started');
      controller.abort(new Interrupted(`ended by ${signal}`));
    });
  }
  return controller.signal;
}

class Interrupted extends Error {}

try {
  await program.parseAsync();
} catch (error) {
  tell(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof Interrupted ? 130 : (error as Error).name === 'StackSettingsError' ? 2 : 1;
}
