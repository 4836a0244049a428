import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ServerName, type ServerRecord, serverNames } from '../addresses.ts';
import type { StackHome } from '../home/paths.ts';
import type { StackSettings } from '../home/settings.ts';
import { withLock } from '../process/lock.ts';
import { pickPorts, requireFree } from '../process/ports.ts';
import { definitionOf } from '../server/all.ts';
import {
  type DockerStack,
  dockerAddress,
  dockerAnswers,
  downCommand,
  publishedPorts,
  runCompose,
  upCommand,
} from '../source/docker.ts';
import { readRecord, recordedPorts, writeRecord } from './records.ts';

export type DockerOptions = {
  home: StackHome;
  settings: StackSettings;
  say: (line: string) => void;
  signal: AbortSignal;
};

/**
 * Returns a function that brings one server up in Docker and resolves to its record, or to undefined where no engine
 * answers. All servers that it is asked for go up with one command, at the first question.
 */
export function startInDocker(options: DockerOptions): (name: ServerName) => Promise<ServerRecord | undefined> {
  let stack: Promise<DockerStack | undefined> | undefined;
  return async (name) => {
    stack ??= up(options);
    const running = await stack;
    return running === undefined ? undefined : await ready(name, running, options);
  };
}

async function up({ home, settings, say, signal }: DockerOptions): Promise<DockerStack | undefined> {
  if (!(await dockerAnswers(signal))) return undefined;
  const { instance } = settings;
  const names = serverNames.filter((name) => settings.urls[name] === undefined);
  const stack = await withLock(
    `${home.run}/ports.lock`,
    { waitMs: 30_000, what: 'the choice of ports', signal },
    async () => {
      const ports: Record<string, number> = {};
      for (const name of names) {
        const earlier = readRecord(home, instance, name);
        for (const purpose of publishedPorts[name]) {
          const asked = purpose === 'main' ? settings.ports[name] : undefined;
          if (asked !== undefined) await requireFree(asked, name, `STACK_${name.toUpperCase()}_PORT`);
          const kept = earlier?.source === 'docker' ? earlier.ports[purpose] : undefined;
          const taken = new Set([...recordedPorts(home, { instance, name }), ...Object.values(ports)]);
          ports[`${name}.${purpose}`] = asked ?? kept ?? (await pickPorts(1, { taken }))[0] ?? 0;
        }
      }
      const secret = names
        .map((name) => readRecord(home, instance, name))
        .find((record) => record?.source === 'docker')?.secret;
      return { instance, engine: settings.engine.name, ports, secret: secret ?? randomBytes(12).toString('hex') };
    },
  );
  say('starting containers with Docker (images are pulled the first time)');
  try {
    await runCompose(upCommand(stack, names), signal);
    return stack;
  } catch (error) {
    await runCompose(downCommand(stack, { withData: false })).catch(() => {});
    signal.throwIfAborted();
    say(
      `Docker answers, but cannot run the servers; looking further (${(error as Error).message.split('\n').at(-1)?.trim()})`,
    );
    return undefined;
  }
}

async function ready(
  name: ServerName,
  stack: DockerStack,
  { home, settings, say, signal }: DockerOptions,
): Promise<ServerRecord> {
  const started = performance.now();
  const { probe, title } = definitionOf(name, stack.engine);
  const ports = Object.fromEntries(
    publishedPorts[name].map((purpose) => [purpose, stack.ports[`${name}.${purpose}`] ?? 0]),
  );
  const record: ServerRecord = {
    name,
    source: 'docker',
    ...(name === 'mysql' ? { engine: stack.engine } : {}),
    version: '',
    ...dockerAddress(name, ports, stack.secret),
    ports,
    secret: stack.secret,
    processes: [],
  };
  writeRecord(home, stack.instance, record);
  for (;;) {
    signal.throwIfAborted();
    const fault = await probe(record).then(
      () => undefined,
      (error: Error) => error,
    );
    if (fault === undefined) break;
    if (performance.now() - started > settings.readyWithinMs) {
      throw new Error(
        `${title} in Docker does not answer within ${settings.readyWithinMs / 1000} s (${fault.message}); see: npm run stack -- logs ${name}`,
      );
    }
    await sleep(200);
  }
  say(
    `${title} (docker) answers on 127.0.0.1:${ports.main} after ${((performance.now() - started) / 1000).toFixed(1)} s`,
  );
  return record;
}
