import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProcessIdentity, ServerName, ServerRecord } from '../addresses.ts';
import type { StackHome } from '../home/paths.ts';
import type { StackSettings } from '../home/settings.ts';
import { isAlive } from '../process/identity.ts';
import { withLock } from '../process/lock.ts';
import { pickPorts, portAnswers, portIsFree, requireFree } from '../process/ports.ts';
import { processesOf, signalProcess, startDetached, stopProcesses } from '../process/run.ts';
import type { ServerDefinition, ServerPlan } from '../server/definition.ts';
import type { Installation } from '../source/installation.ts';
import { readRecord, recordedPorts, writeRecord } from './records.ts';

/** A server that is run as processes of ours, out of a folder of its own. */
export type PrivateServer = {
  instance: string;
  name: ServerName;
  definition: ServerDefinition;
  home: StackHome;
  settings: StackSettings;
  signal?: AbortSignal | undefined;
};

export class ServerStartError extends Error {
  override name = 'ServerStartError';
}

const LOG_LINES_SHOWN = 15;

/**
 * Starts the server and waits until it answers. With `keepPorts` it listens where it did before or not at all.
 * On failure nothing of it is left running.
 */
export async function startPrivate(
  server: PrivateServer,
  installation: Installation,
  options: { keepPorts: boolean },
): Promise<{ record: ServerRecord; tookMs: number }> {
  const { instance, name, definition, home, settings, signal } = server;
  const folder = home.server(instance, name);
  await stopPrivate(server);
  const started = performance.now();
  const record = await reserve(server, installation, options.keepPorts);
  const plan: ServerPlan = {
    instance,
    folder,
    installation,
    ports: record.ports,
    secret: record.secret,
    settings,
    home,
    signal,
  };
  const log = join(folder, 'server.log');
  try {
    await definition.prepare(plan);
    for (const { role, command, waitForPort } of definition.commands(plan)) {
      signal?.throwIfAborted();
      const identity = await startDetached(command, { log, owner: folder });
      record.processes.push(identity);
      writeRecord(home, instance, record);
      if (waitForPort !== undefined) await waitUntilTaken(waitForPort, role, record, log);
    }
    await waitUntilReady(server, record, log);
  } catch (error) {
    // One that has not finished starting may not listen to SIGTERM, and has nothing to lose.
    await stopPrivate(server, { kill: true });
    throw error;
  }
  return { record, tookMs: performance.now() - started };
}

/** Ends every process of the server: as it likes to be ended, or by SIGKILL with `kill`. */
export async function stopPrivate(
  server: Omit<PrivateServer, 'settings'>,
  options: { kill?: boolean } = {},
): Promise<'none' | 'stopped' | 'killed'> {
  const { instance, name, definition, home } = server;
  const outcome = await stopProcesses(() => processesOfServer(server), {
    signal: options.kill ? 'SIGKILL' : 'SIGTERM',
    graceMs: options.kill ? 0 : definition.stopWithinMs,
    // epmd serves the node until that is gone, and does not end by itself.
    ...(options.kill ? {} : { later: (identity) => /(^|\/)epmd\0/.test(commandLine(identity.pid)) }),
  });
  const record = readRecord(home, instance, name);
  if (record !== undefined && record.processes.length > 0) writeRecord(home, instance, { ...record, processes: [] });
  return outcome;
}

/** Stops (SIGSTOP) or continues (SIGCONT) every process of the server: a server that hangs without closing a socket. */
export function signalPrivate(server: Omit<PrivateServer, 'settings'>, signal: 'SIGSTOP' | 'SIGCONT'): void {
  for (const identity of processesOfServer(server)) signalProcess(identity, signal);
}

/** Every process of the server, whether its record knows it or not. */
export function processesOfServer({
  home,
  instance,
  name,
}: Pick<PrivateServer, 'home' | 'instance' | 'name'>): ProcessIdentity[] {
  return processesOf(home.server(instance, name), readRecord(home, instance, name)?.processes ?? []);
}

/** Whether every process that was started for it still runs. */
export function runs(record: ServerRecord): boolean {
  return record.processes.length > 0 && record.processes.every(isAlive);
}

/** Chooses ports and a password, and writes them down before anything is started. */
async function reserve(server: PrivateServer, installation: Installation, keepPorts: boolean): Promise<ServerRecord> {
  const { instance, name, definition, home, signal } = server;
  return await withLock(
    join(home.run, 'ports.lock'),
    { waitMs: 30_000, what: 'the choice of ports', signal },
    async () => {
      const earlier = readRecord(home, instance, name);
      const ports = await choosePorts(server, earlier?.ports ?? {}, keepPorts);
      const secret = earlier?.secret || randomBytes(12).toString('hex');
      const record: ServerRecord = {
        name,
        source: installation.source,
        ...(definition.engine === undefined ? {} : { engine: definition.engine }),
        version: installation.version,
        ...definition.address(ports, secret),
        ports,
        secret,
        processes: [],
        log: join(home.server(instance, name), 'server.log'),
      };
      writeRecord(home, instance, record);
      return record;
    },
  );
}

/** A port for each purpose: the one asked for, the one it had, or a free one. `keep`: the one it had or none. */
async function choosePorts(
  { definition, name, instance, settings, home }: PrivateServer,
  before: Record<string, number>,
  keep: boolean,
): Promise<Record<string, number>> {
  const chosen: Record<string, number> = {};
  for (const purpose of definition.ports) {
    const asked = purpose === 'main' ? settings.ports[name] : undefined;
    const known = before[purpose];
    if (asked !== undefined) {
      await requireFree(asked, `${definition.title} (instance ${instance})`, `STACK_${name.toUpperCase()}_PORT`);
      chosen[purpose] = asked;
    } else if (known !== undefined && (await portIsFree(known))) {
      chosen[purpose] = known;
    } else if (known !== undefined && keep) {
      throw new ServerStartError(
        `${definition.title} of instance ${instance} cannot come back on port ${known}: another program has taken it; end that program, or run: npm run stack -- up`,
      );
    } else {
      const taken = new Set([...recordedPorts(home, { instance, name }), ...Object.values(chosen)]);
      const [port] = await pickPorts(1, { taken });
      chosen[purpose] = port ?? 0;
    }
  }
  return chosen;
}

async function waitUntilReady(server: PrivateServer, record: ServerRecord, log: string): Promise<void> {
  const { definition, settings, signal } = server;
  const deadline = performance.now() + settings.readyWithinMs;
  let last = 'it was not asked';
  for (;;) {
    signal?.throwIfAborted();
    if (!runs(record)) throw failed(`${definition.title} ended while it started`, log);
    try {
      await definition.probe(record);
      return;
    } catch (error) {
      last =
        error instanceof Error ? error.message || (error as NodeJS.ErrnoException).code || error.name : String(error);
    }
    if (performance.now() > deadline) {
      throw failed(`${definition.title} does not answer within ${settings.readyWithinMs / 1000} s (${last})`, log);
    }
    await sleep(100);
  }
}

async function waitUntilTaken(port: number, role: string, record: ServerRecord, log: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (await portAnswers(port)) return;
    if (!runs(record)) throw failed(`${role} ended while it started`, log);
    await sleep(25);
  }
  throw failed(`${role} does not listen on port ${port} within 5 s`, log);
}

function failed(what: string, log: string): ServerStartError {
  const lines = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n').slice(-LOG_LINES_SHOWN) : [];
  return new ServerStartError(
    [`${what}; the end of its log, ${log}:`, ...lines.map((line) => `    ${line}`)].join('\n'),
  );
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
