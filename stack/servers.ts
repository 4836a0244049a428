/**
 * Real MySQL (or MariaDB), RabbitMQ, Redis and Consul, found or started. The programmatic side of `npm run stack`.
 *
 * An instance is a set of the four under a name. Instances share nothing but the programs.
 */
import { rmSync } from 'node:fs';
import {
  type Engine,
  type ServerName,
  type ServerRecord,
  type StackAddresses,
  type StackFile,
  serverNames,
} from './addresses.ts';
import { type StackHome, stackHome } from './home/paths.ts';
import type { StackSettings } from './home/settings.ts';
import { context, dockerStack, instanceLock, locked } from './instance/context.ts';
import { startInDocker } from './instance/docker-servers.ts';
import { findInstallation } from './instance/find.ts';
import { type PrivateServer, processesOfServer, runs, startPrivate, stopPrivate } from './instance/private-server.ts';
import { readRecord, readStackFile, removeStackFile, writeRecord, writeStackFile } from './instance/records.ts';
import { identify, isAlive } from './process/identity.ts';
import { lockHolder } from './process/lock.ts';
import { definitionOf } from './server/all.ts';
import { downCommand, runCompose } from './source/docker.ts';

export type { Engine, ServerName, StackAddresses } from './addresses.ts';
export { killServer, pauseServer, resumeServer, startServer, stopServer } from './server-control.ts';

export type UpOptions = {
  instance?: string;
  /** Asked for by name: the other engine does not stand in for it. */
  db?: Engine;
  /** Servers that run already and are used as they are; they win over `STACK_…_URL`. */
  urls?: Partial<Record<ServerName, string>>;
  log?: (line: string) => void;
  /** Ends the start, and what it has started so far. */
  signal?: AbortSignal;
  env?: NodeJS.ProcessEnv;
};

export type ServerStatus = {
  name: ServerName;
  state: 'answers' | 'runs, does not answer' | 'down';
  record?: ServerRecord;
  /** Why it does not answer. */
  fault?: string;
};

/**
 * Brings the four servers of an instance up, side by side, and waits until each answers. What runs already is left
 * as it is. If one fails, those that this call has started are stopped again and the failures are thrown.
 */
export async function upStack(options: UpOptions = {}): Promise<StackAddresses> {
  const { home, settings, say } = context(options);
  const { instance } = settings;
  const controller = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, controller.signal]) : controller.signal;
  return await locked(home, instance, say, options.signal, async () => {
    const started: ServerName[] = [];
    const begin = async (name: ServerName): Promise<ServerRecord> => {
      const given = settings.urls[name];
      if (given !== undefined && settings.sources.includes('environment'))
        return await useGiven(home, settings, name, given, say);
      const running = await reuse(home, settings, name);
      if (running !== undefined) return running;
      const docker = await dockerOrNothing(name);
      if (docker !== undefined) return docker;
      const { definition, installation } = await findInstallation(name, { home, settings, say, signal });
      signal.throwIfAborted();
      started.push(name);
      const server: PrivateServer = { instance, name, definition, home, settings, signal };
      const { record, tookMs } = await startPrivate(server, installation, { keepPorts: false });
      say(
        `${definition.title} ${record.version} (${record.source}) answers on 127.0.0.1:${record.ports.main} after ${seconds(tookMs)}`,
      );
      return record;
    };
    const inDocker = startInDocker({ home, settings, say, signal });
    const dockerOrNothing = async (name: ServerName): Promise<ServerRecord | undefined> =>
      settings.sources.includes('docker') ? await inDocker(name) : undefined;

    const settled = await Promise.allSettled(
      serverNames.map((name) =>
        begin(name).catch((error: unknown) => {
          // One that cannot come up makes waiting for the others pointless.
          controller.abort(error);
          throw error;
        }),
      ),
    );
    const failures = settled.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
    if (failures.length > 0) {
      await Promise.all(
        started.map((name) => stopPrivate({ instance, name, definition: definitionOf(name, 'mysql'), home })),
      );
      options.signal?.throwIfAborted();
      // The others were merely told to stop because of the first.
      throw controller.signal.reason ?? failures[0];
    }
    const servers = Object.fromEntries(
      settled.map((result, index) => [serverNames[index], (result as PromiseFulfilledResult<ServerRecord>).value]),
    ) as Record<ServerName, ServerRecord>;
    const startedBy = identify(process.pid);
    const file: StackFile = { instance, ...(startedBy ? { startedBy } : {}), addresses: addressesOf(servers), servers };
    writeStackFile(home, file);
    return file.addresses;
  });
}

/** Stops what belongs to the instance. Data stays unless `purge`. Servers given by URL are left alone. */
export async function downStack(
  instance: string,
  options: { purge?: boolean; log?: (line: string) => void; env?: NodeJS.ProcessEnv } = {},
): Promise<void> {
  const { home, say } = context({ instance, ...options });
  await locked(home, instance, say, undefined, async () => {
    removeStackFile(home, instance);
    const records = serverNames.flatMap((name) => readRecord(home, instance, name) ?? []);
    await Promise.all(
      serverNames.map(async (name) => {
        const definition = definitionOf(name, readRecord(home, instance, name)?.engine ?? 'mysql');
        const outcome = await stopPrivate({ instance, name, definition, home });
        if (outcome !== 'none')
          say(`${definition.title} ${outcome === 'stopped' ? 'is down' : 'did not end by itself and was killed'}`);
      }),
    );
    const inDocker = records.find(({ source }) => source === 'docker');
    if (inDocker !== undefined) {
      await runCompose(downCommand(dockerStack(instance, inDocker), { withData: options.purge ?? false }));
      say('the containers are down');
    }
    if (options.purge)
      for (const name of serverNames) rmSync(home.server(instance, name), { recursive: true, force: true });
  });
  if (options.purge) rmSync(home.instance(instance), { recursive: true, force: true });
}

/** What is there and whether it answers, asked now. */
export async function statusStack(
  instance: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ up: boolean; addresses?: StackAddresses; servers: ServerStatus[] }> {
  const { home } = context({ instance, env });
  const file = readStackFile(home, instance);
  const servers = await Promise.all(serverNames.map((name) => statusOf(home, instance, name)));
  const up = file !== undefined && servers.every(({ state }) => state === 'answers');
  return { up, ...(file === undefined ? {} : { addresses: file.addresses }), servers };
}

/** Whether a process that lives has brought the instance up, or is starting or stopping it right now. */
export function isInUse(instance: string, env: NodeJS.ProcessEnv = process.env): boolean {
  const home = stackHome(env);
  const users = [readStackFile(home, instance)?.startedBy, lockHolder(instanceLock(home, instance))];
  return users.some((user) => user !== undefined && isAlive(user));
}

async function statusOf(home: StackHome, instance: string, name: ServerName): Promise<ServerStatus> {
  const record = readRecord(home, instance, name);
  if (record === undefined) return { name, state: 'down' };
  const ours = record.source === 'machine' || record.source === 'packages';
  if (ours && !runs(record)) {
    const left = processesOfServer({ home, instance, name }).map(({ pid }) => pid);
    return {
      name,
      state: 'down',
      record,
      ...(left.length > 0 ? { fault: `processes left over: ${left.join(', ')}` } : {}),
    };
  }
  const fault = await definitionOf(name, record.engine ?? 'mysql')
    .probe(record)
    .then(
      () => undefined,
      (error: Error) => error.message || error.name,
    );
  if (fault === undefined) return { name, state: 'answers', record };
  return { name, state: ours ? 'runs, does not answer' : 'down', record, fault };
}

/** A server of ours that is up already and is what is wanted. */
async function reuse(home: StackHome, settings: StackSettings, name: ServerName): Promise<ServerRecord | undefined> {
  const status = await statusOf(home, settings.instance, name);
  const { record } = status;
  if (status.state !== 'answers' || record === undefined || record.source === 'environment') return undefined;
  const asked = settings.ports[name];
  if (asked !== undefined && record.ports.main !== asked) return undefined;
  if (name === 'mysql' && settings.engine.explicit && record.engine !== settings.engine.name) return undefined;
  return record;
}

async function useGiven(
  home: StackHome,
  settings: StackSettings,
  name: ServerName,
  url: string,
  say: (line: string) => void,
): Promise<ServerRecord> {
  const variable = `STACK_${name.toUpperCase()}_URL`;
  const { probe, title } = definitionOf(name, settings.engine.name);
  try {
    await probe({ url });
  } catch (error) {
    throw new Error(
      `${title} at ${variable} (${new URL(url).host}) does not answer: ${(error as Error).message || (error as NodeJS.ErrnoException).code}; start it, or unset ${variable} to have one started`,
    );
  }
  await stopPrivate({ instance: settings.instance, name, definition: definitionOf(name, 'mysql'), home });
  const engine = name === 'mysql' ? await engineAt(url) : undefined;
  if (engine !== undefined && settings.engine.explicit && engine !== settings.engine.name) {
    throw new Error(
      `STACK_DB asks for ${settings.engine.name}, but ${variable} leads to ${engine}; change one of them`,
    );
  }
  const record: ServerRecord = {
    name,
    source: 'environment',
    ...(engine ? { engine } : {}),
    version: '',
    url,
    ports: {},
    secret: '',
    processes: [],
  };
  writeRecord(home, settings.instance, record);
  say(`${title} given by URL answers on ${new URL(url).host}`);
  return record;
}

async function engineAt(url: string): Promise<Engine> {
  const { createConnection } = await import('mysql2/promise');
  const connection = await createConnection({ uri: url });
  try {
    const [rows] = await connection.query('SELECT VERSION() AS version');
    return /mariadb/i.test((rows as { version: string }[])[0]?.version ?? '') ? 'mariadb' : 'mysql';
  } finally {
    connection.destroy();
  }
}

function addressesOf(servers: Record<ServerName, ServerRecord>): StackAddresses {
  const management = servers.rabbitmq.managementUrl;
  return {
    engine: servers.mysql.engine ?? 'mysql',
    mysqlUrl: servers.mysql.url,
    rabbitmqUrl: servers.rabbitmq.url,
    ...(management === undefined ? {} : { rabbitmqManagementUrl: management }),
    redisUrl: servers.redis.url,
    consulUrl: servers.consul.url,
  };
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
