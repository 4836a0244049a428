import { join } from 'node:path';
import type { Engine, ServerName, ServerRecord } from '../addresses.ts';
import { type StackHome, stackHome } from '../home/paths.ts';
import { StackSettingsError, stackSettings } from '../home/settings.ts';
import { withLock } from '../process/lock.ts';
import type { DockerStack } from '../source/docker.ts';

/** What every call may be told; the rest is in the environment. */
export type CallOptions = {
  instance?: string;
  db?: Engine;
  urls?: Partial<Record<ServerName, string>>;
  log?: (line: string) => void;
  env?: NodeJS.ProcessEnv;
};

const INSTANCE_LOCK_WAIT_MS = 10 * 60_000;

/** Options over environment over defaults. Throws StackSettingsError. */
export function context(options: CallOptions) {
  const env = options.env ?? process.env;
  const settings = stackSettings({ ...env, ...(options.instance ? { STACK_INSTANCE: options.instance } : {}) });
  if (options.db !== undefined) settings.engine = { name: options.db, explicit: true };
  settings.urls = { ...settings.urls, ...options.urls };
  if (
    process.platform !== 'linux' &&
    settings.sources.some((source) => source === 'machine' || source === 'packages')
  ) {
    settings.sources = settings.sources.filter((source) => source === 'environment' || source === 'docker');
    if (settings.sources.length === 0)
      throw new StackSettingsError('private servers need Linux (/proc); use Docker or STACK_…_URL');
  }
  return { home: stackHome(env), settings, say: options.log ?? (() => {}) };
}

/** Runs `work` while nobody else starts or stops anything of the instance. */
export async function locked<T>(
  home: StackHome,
  instance: string,
  say: (line: string) => void,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  return await withLock(
    instanceLock(home, instance),
    {
      waitMs: INSTANCE_LOCK_WAIT_MS,
      what: `instance ${instance}`,
      onWait: ({ pid }) => say(`waiting for process ${pid}, which is starting or stopping instance ${instance}`),
      signal,
    },
    work,
  );
}

export const instanceLock = (home: StackHome, instance: string): string => join(home.run, `${instance}.lock`);

/** The containers of a server that is known to run in Docker. */
export function dockerStack(instance: string, record: ServerRecord): DockerStack {
  return { instance, engine: record.engine ?? 'mysql', ports: {}, secret: record.secret };
}
