/** Stops, kills, freezes and starts single servers of an instance that is up: what tests of faults are made of. */
import type { ServerName, ServerRecord } from './addresses.ts';
import type { StackHome } from './home/paths.ts';
import type { StackSettings } from './home/settings.ts';
import { type CallOptions, context, dockerStack, locked } from './instance/context.ts';
import { findInstallation } from './instance/find.ts';
import { type PrivateServer, signalPrivate, startPrivate, stopPrivate } from './instance/private-server.ts';
import { readRecord, readStackFile, writeStackFile } from './instance/records.ts';
import { definitionOf } from './server/all.ts';
import { runCompose, serviceCommand } from './source/docker.ts';

type ControlOptions = Pick<CallOptions, 'env' | 'log'> & { signal?: AbortSignal };

/** Stops one server in an orderly way; its port and data are kept for `startServer`. */
export async function stopServer(instance: string, name: ServerName, options: ControlOptions = {}): Promise<void> {
  await onServer(instance, name, options, { private: (server) => stopPrivate(server), docker: 'stop' });
}

/** SIGKILL to every process of one server, as a crash would: no flush, no goodbye. */
export async function killServer(instance: string, name: ServerName, options: ControlOptions = {}): Promise<void> {
  await onServer(instance, name, options, { private: (server) => stopPrivate(server, { kill: true }), docker: 'kill' });
}

/** Freezes one server: its sockets stay open and nothing answers. Undone by `resumeServer`. */
export async function pauseServer(instance: string, name: ServerName, options: ControlOptions = {}): Promise<void> {
  await onServer(instance, name, options, {
    private: async (server) => signalPrivate(server, 'SIGSTOP'),
    docker: 'pause',
  });
}

export async function resumeServer(instance: string, name: ServerName, options: ControlOptions = {}): Promise<void> {
  await onServer(instance, name, options, {
    private: async (server) => signalPrivate(server, 'SIGCONT'),
    docker: 'unpause',
  });
}

/** Starts a stopped or killed server again on its old port, with its old data, and waits until it answers. */
export async function startServer(instance: string, name: ServerName, options: ControlOptions = {}): Promise<void> {
  const { settings, say } = context({ instance, ...options });
  await onServer(instance, name, options, {
    docker: 'start',
    private: async (server) => {
      const engine = server.definition.engine;
      const wanted: StackSettings = {
        ...settings,
        ports: {},
        engine: { name: engine ?? settings.engine.name, explicit: true },
      };
      const found = await findInstallation(name, { home: server.home, settings: wanted, say, signal: options.signal });
      const { record } = await startPrivate(
        { ...server, settings: wanted, signal: options.signal },
        found.installation,
        { keepPorts: true },
      );
      refreshStackFile(server.home, instance, record);
    },
  });
}

async function onServer(
  instance: string,
  name: ServerName,
  options: ControlOptions,
  actions: {
    private(server: Omit<PrivateServer, 'settings'>): Promise<unknown>;
    docker: Parameters<typeof serviceCommand>[1];
  },
): Promise<void> {
  const { home, say } = context({ instance, ...options });
  const record = readRecord(home, instance, name);
  if (record === undefined)
    throw new Error(`instance ${instance} has no ${name}; run: STACK_INSTANCE=${instance} npm run stack -- up`);
  if (record.source === 'environment')
    throw new Error(`${name} of instance ${instance} was given by URL; it is not ours to stop or start`);
  await locked(home, instance, say, options.signal, async () => {
    if (record.source === 'docker') {
      await runCompose(serviceCommand(dockerStack(instance, record), actions.docker, name));
      if (actions.docker === 'start') await untilAnswers(record, name);
    } else {
      await actions.private({ instance, name, definition: definitionOf(name, record.engine ?? 'mysql'), home });
    }
  });
}

async function untilAnswers(record: ServerRecord, name: ServerName): Promise<void> {
  const { probe } = definitionOf(name, record.engine ?? 'mysql');
  for (let attempt = 0; ; attempt++) {
    const fault = await probe(record).then(
      () => undefined,
      (error: Error) => error,
    );
    if (fault === undefined) return;
    if (attempt > 300) throw fault;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** A restarted server has other process ids. */
function refreshStackFile(home: StackHome, instance: string, record: ServerRecord): void {
  const file = readStackFile(home, instance);
  if (file !== undefined) writeStackFile(home, { ...file, servers: { ...file.servers, [record.name]: record } });
}
