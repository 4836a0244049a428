import type { Engine, ServerName, Source } from '../addresses.ts';
import { serverNames } from '../addresses.ts';

/** What the environment says about the stack. */
export type StackSettings = {
  instance: string;
  /** `explicit`: somebody asked for this engine by name, so the other one must not stand in for it. */
  engine: { name: Engine; explicit: boolean };
  /** Servers that run already, by URL. */
  urls: Partial<Record<ServerName, string>>;
  /** Ports asked for; others are picked. */
  ports: Partial<Record<ServerName, number>>;
  /** Where to look for a server, in this order. */
  sources: Source[];
  /** innodb_flush_log_at_trx_commit: 1 keeps every acknowledged commit, 2 and 0 are faster and lose some on a power cut. */
  flushLogAtCommit: 0 | 1 | 2;
  /** How long a server may take until it answers. */
  readyWithinMs: number;
};

export class StackSettingsError extends Error {
  override name = 'StackSettingsError';
}

const allSources: Source[] = ['environment', 'docker', 'machine', 'packages'];
const urlProtocols: Record<ServerName, string[]> = {
  mysql: ['mysql:', 'mariadb:'],
  rabbitmq: ['amqp:', 'amqps:'],
  redis: ['redis:', 'rediss:'],
  consul: ['http:', 'https:'],
};

/** Reads `STACK_*`. Throws one StackSettingsError that names every variable at fault. */
export function stackSettings(env: NodeJS.ProcessEnv = process.env): StackSettings {
  const faults: string[] = [];
  const settings: StackSettings = {
    instance: env.STACK_INSTANCE || 'dev',
    engine: { name: 'mysql', explicit: false },
    urls: {},
    ports: {},
    sources: allSources,
    flushLogAtCommit: 1,
    readyWithinMs: 120_000,
  };
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(settings.instance)) {
    faults.push(
      `STACK_INSTANCE is ${show(settings.instance)}; expected up to 31 small letters, digits and hyphens, e.g. dev`,
    );
  }
  if (env.STACK_DB === 'mysql' || env.STACK_DB === 'mariadb') settings.engine = { name: env.STACK_DB, explicit: true };
  else if (env.STACK_DB) faults.push(`STACK_DB is ${show(env.STACK_DB)}; expected mysql or mariadb`);

  for (const server of serverNames) {
    const upper = server.toUpperCase();
    const url = env[`STACK_${upper}_URL`];
    if (url) {
      const protocols = urlProtocols[server];
      if (URL.canParse(url) && protocols.includes(new URL(url).protocol)) settings.urls[server] = url;
      // The value may hold a password, so it is not repeated.
      else faults.push(`STACK_${upper}_URL is not a URL that begins with ${protocols.join('// or ')}//`);
    }
    const port = env[`STACK_${upper}_PORT`];
    if (port) {
      if (/^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535) settings.ports[server] = Number(port);
      else faults.push(`STACK_${upper}_PORT is ${show(port)}; expected a port from 1 to 65535`);
    }
  }
  if (env.STACK_SOURCES) {
    const sources = env.STACK_SOURCES.split(',').map((source) => source.trim()) as Source[];
    if (sources.every((source) => allSources.includes(source))) settings.sources = sources;
    else faults.push(`STACK_SOURCES is ${show(env.STACK_SOURCES)}; expected some of ${allSources.join(',')}`);
  }
  if (env.STACK_FLUSH_LOG_AT_COMMIT) {
    const level = Number(env.STACK_FLUSH_LOG_AT_COMMIT);
    if (level === 0 || level === 1 || level === 2) settings.flushLogAtCommit = level;
    else faults.push(`STACK_FLUSH_LOG_AT_COMMIT is ${show(env.STACK_FLUSH_LOG_AT_COMMIT)}; expected 0, 1 or 2`);
  }
  if (env.STACK_READY_WITHIN_MS) {
    const readyWithinMs = Number(env.STACK_READY_WITHIN_MS);
    if (Number.isInteger(readyWithinMs) && readyWithinMs > 0) settings.readyWithinMs = readyWithinMs;
    else faults.push(`STACK_READY_WITHIN_MS is ${show(env.STACK_READY_WITHIN_MS)}; expected milliseconds, e.g. 120000`);
  }
  if (faults.length > 0) throw new StackSettingsError(faults.join('\n'));
  return settings;
}

const show = (value: string): string => JSON.stringify(value);
