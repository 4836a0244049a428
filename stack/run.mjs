#!/usr/bin/env node
/**
 * Runs a TypeScript entry point with the Node that package-lock.json pins, installing what is missing first.
 *
 * It is plain JavaScript and imports nothing but Node itself, because on a fresh clone there is nothing else:
 *
 *   node stack/run.mjs e2e/demo/main.ts --json
 *
 * Standard output belongs to the program that is run; whatever this file has to say goes to standard error.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureInstalled } from './install.mjs';

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));
const [entry, ...args] = process.argv.slice(2);

if (entry === undefined) {
  process.stderr.write('run.mjs: no entry point given; expected e.g. `node stack/run.mjs stack/cli.ts status`\n');
  process.exit(2);
}

try {
  await ensureInstalled(root);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

const pinnedNode = join(root, 'node_modules', 'node', 'bin', 'node');
const bin = join(root, 'node_modules', '.bin');
const child = spawn(pinnedNode, [join(root, entry), ...args], {
  stdio: 'inherit',
  env: {
    // Half of what a short-lived process takes is the compiling of what another has compiled before.
    NODE_COMPILE_CACHE: join(root, '.stack', 'compile-cache'),
    ...process.env,
    PATH: `${bin}:${process.env.PATH ?? ''}`,
  },
});

// A terminal's Ctrl-C reaches the child by itself (same process group); a signal sent to this pid alone does not.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']) {
  process.on(signal, () => {
    if (signal === 'SIGINT' && process.stdin.isTTY) return;
    child.kill(signal);
  });
}

child.on('error', (error) => {
  process.stderr.write(`run.mjs: ${pinnedNode} could not be started: ${error.message}\n`);
  process.exit(126);
});
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
});
