import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServerName } from '../addresses.ts';

export const repositoryRoot: string = resolve(fileURLToPath(new URL('../..', import.meta.url)));

/** Every folder that the stack writes to. Nothing is written anywhere else. */
export type StackHome = {
  root: string;
  /** Downloaded .deb files, by name and version. */
  downloads: string;
  /** Unpacked packages, one folder a set. */
  packages: string;
  /** Private apt state, one folder a suite. */
  apt: string;
  /** Initialised data folders, copied into new instances. */
  templates: string;
  run: string;
  instance(name: string): string;
  server(instance: string, server: ServerName): string;
};

/** `STACK_HOME` moves everything, `STACK_CACHE` only the downloads (so that clones can share them). */
export function stackHome(env: NodeJS.ProcessEnv = process.env): StackHome {
  const root = resolve(repositoryRoot, env.STACK_HOME || '.stack');
  const run = join(root, 'run');
  return {
    root,
    downloads: env.STACK_CACHE ? resolve(repositoryRoot, env.STACK_CACHE) : join(root, 'downloads'),
    packages: join(root, 'packages'),
    apt: join(root, 'apt'),
    templates: join(root, 'templates'),
    run,
    instance: (name) => join(run, name),
    server: (instance, server) => join(run, instance, server),
  };
}

/** Writes a file so that a reader sees the old content or the new one, never half of it. */
export function writeWhole(file: string, content: string, mode = 0o600): void {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.part`;
  try {
    writeFileSync(temporary, content, { mode });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
