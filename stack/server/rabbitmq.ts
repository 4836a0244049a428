import { existsSync, globSync, mkdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { connect } from 'amqplib';
import { writeWhole } from '../home/paths.ts';
import { packageSets } from '../packages/sets.ts';
import type { Command } from '../process/run.ts';
import { PROBE_TIMEOUT_MS, type ServerDefinition, type ServerPlan } from './definition.ts';

const plugins = ['rabbitmq_stream', 'rabbitmq_consistent_hash_exchange', 'rabbitmq_management', 'rabbitmq_prometheus'];

export const rabbitmqServer: ServerDefinition = {
  title: 'RabbitMQ',
  packages: packageSets.rabbitmq,
  machine: {
    // Debian's /usr/sbin/rabbitmq-server changes to the user rabbitmq; the script behind it does not.
    places: ['/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server'],
    names: ['rabbitmq-server'],
    // The script cannot say its version; the folder that it lies in does.
    version: (_output, program) => /rabbitmq_server-(\d+\.\d+\.\d+)/.exec(program)?.[1],
  },
  ports: ['main', 'management', 'prometheus', 'stream', 'distribution', 'epmd'],
  stopWithinMs: 30_000,
  async prepare(plan) {
    for (const name of ['data', 'logs', 'home']) mkdirSync(join(plan.folder, name), { recursive: true, mode: 0o700 });
    const { ports } = plan;
    const lines = [
      `listeners.tcp.local = 127.0.0.1:${ports.main}`,
      'management.tcp.ip = 127.0.0.1',
      `management.tcp.port = ${ports.management}`,
      'prometheus.tcp.ip = 127.0.0.1',
      `prometheus.tcp.port = ${ports.prometheus}`,
      `stream.listeners.tcp.local = 127.0.0.1:${ports.stream}`,
      'default_user = stack',
      `default_pass = ${plan.secret}`,
      'default_user_tags.administrator = true',
      'loopback_users.stack = true',
      'vm_memory_high_watermark.absolute = 1GiB',
      'disk_free_limit.absolute = 200MB',
      'log.file.level = info',
      'collect_statistics_interval = 5000',
    ];
    writeWhole(join(plan.folder, 'rabbitmq.conf'), `${lines.join('\n')}\n`);
    writeWhole(join(plan.folder, 'enabled_plugins'), `[${plugins.join(',')}].\n`);
    const erlang = erlangFolder(plan);
    if (erlang !== undefined) writeWhole(join(plan.folder, 'bin', 'erl'), erlScript(erlang), 0o700);
  },
  // Erlang would start epmd as a daemon of its own; started here first, it is a process with a known pid.
  commands: (plan) => [
    { role: 'epmd', command: epmd(plan), ...(plan.ports.epmd === undefined ? {} : { waitForPort: plan.ports.epmd }) },
    { role: 'rabbitmq-server', command: { ...run(plan, plan.installation.program, []), cwd: plan.folder } },
  ],
  address: (ports, secret) => ({
    url: `amqp://stack:${secret}@127.0.0.1:${ports.main}`,
    managementUrl: `http://127.0.0.1:${ports.management}`,
  }),
  async probe({ url }) {
    // Ends the socket of a server that accepts the connection and says nothing more.
    const socket: object = { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) };
    const connection = await connect(url, socket);
    connection.on('error', () => {});
    await connection.close();
  },
};

function epmd(plan: ServerPlan): Command {
  const own = erlangFolder(plan);
  const program = own === undefined ? 'epmd' : join(own, 'bin', 'epmd');
  return run(plan, program, ['-port', String(plan.ports.epmd), '-address', '127.0.0.1']);
}

/** Where Erlang was unpacked; undefined when the machine's own is used. */
function erlangFolder({ installation }: ServerPlan): string | undefined {
  const folder = join(installation.prefix, 'lib', 'erlang');
  return installation.source === 'packages' && existsSync(folder) ? folder : undefined;
}

/** Debian's own `erl` looks under /usr/lib/erlang, whatever the environment says. */
function erlScript(erlang: string): string {
  const runtime = globSync('erts-*', { cwd: erlang })[0];
  if (runtime === undefined)
    throw new Error(`no erts-* folder in ${erlang}; remove the unpacked package and run again`);
  return [
    '#!/bin/sh',
    `ROOTDIR=${shellQuoted(erlang)}`,
    `BINDIR=${shellQuoted(join(erlang, runtime, 'bin'))}`,
    'EMU=beam',
    'PROGNAME=erl',
    'export ROOTDIR BINDIR EMU PROGNAME',
    'exec "$BINDIR/erlexec" "$@"',
    '',
  ].join('\n');
}

const shellQuoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function run(plan: ServerPlan, program: string, args: string[]): Command {
  const { folder, ports, installation } = plan;
  const command = installation.command(program, args);
  const erlang = erlangFolder(plan);
  const scripts = dirname(installation.program);
  const path = [
    ...(erlang === undefined ? [] : [join(folder, 'bin'), join(erlang, 'bin')]),
    scripts,
    process.env.PATH ?? '',
  ];
  return {
    ...command,
    env: {
      ...command.env,
      ...(erlang === undefined ? {} : { ERL_ROOTDIR: erlang }),
      PATH: path.join(delimiter),
      HOME: join(folder, 'home'),
      LC_ALL: 'C.UTF-8',
      ERL_EPMD_PORT: String(ports.epmd),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_NODENAME: `stack-${plan.instance}@localhost`,
      RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
      RABBITMQ_NODE_PORT: String(ports.main),
      RABBITMQ_DIST_PORT: String(ports.distribution),
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq'),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_ADVANCED_CONFIG_FILE: join(folder, 'advanced.config'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
      RABBITMQ_FEATURE_FLAGS_FILE: join(folder, 'data', 'feature_flags'),
      RABBITMQ_MNESIA_BASE: join(folder, 'data'),
      RABBITMQ_LOG_BASE: join(folder, 'logs'),
      RABBITMQ_PID_FILE: join(folder, 'rabbitmq.pid'),
      // Loopback for the distribution too; no spinning schedulers on a shared machine.
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
        '-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none',
    },
  };
}
