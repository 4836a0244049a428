import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { repositoryRoot } from '@strangler/stack/home/paths.ts';

const STOP_GRACE_MS = 15_000;

/** The program was ended because its time was up. */
export class TimeUpError extends Error {
  override name = 'TimeUpError';
}

/**
 * Runs a program of node_modules/.bin to its end, its output passed on; `onError` sees too what it writes to standard error.
 * When `signal` aborts or the time is up, it and its children are ended. Resolves to the exit code, null when it was ended by a
 * signal; rejects with TimeUpError.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: {
    env: Record<string, string>;
    timeoutMs: number;
    signal: AbortSignal;
    onError?: (text: string) => void;
  },
): Promise<number | null> {
  const node = join(repositoryRoot, 'node_modules/node/bin/node');
  const bin = join(repositoryRoot, 'node_modules/.bin');
  const script = join(bin, program);
  // Its own process group: so that all of its workers can be ended with it, and a Ctrl-C reaches it through us only.
  const child = spawn(node, [script, ...args], {
    cwd: repositoryRoot,
    env: { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}`, ...options.env },
    stdio: ['ignore', 'inherit', options.onError === undefined ? 'inherit' : 'pipe'],
    detached: true,
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    process.stderr.write(text);
    options.onError?.(text);
  });
  const closed = new Promise<number | null>((resolve) => {
    child.on('error', (error) => {
      console.error(`${program} could not be started: ${error.message}`);
      resolve(127);
    });
    child.on('close', (code) => resolve(code));
  });
  const { pid } = child;
  const end = async (): Promise<void> => {
    if (pid === undefined) return;
    signalGroup(pid, 'SIGTERM');
    await Promise.race([closed, sleep(STOP_GRACE_MS, undefined, { ref: false })]);
    signalGroup(pid, 'SIGKILL');
  };
  const onAbort = () => void end();
  options.signal.addEventListener('abort', onAbort, { once: true });
  let timeIsUp = false;
  const timer = setTimeout(() => {
    timeIsUp = true;
    void end();
  }, options.timeoutMs);
  try {
    if (options.signal.aborted) void end();
    const code = await closed;
    if (timeIsUp) throw new TimeUpError(`${program} was ended after ${Math.round(options.timeoutMs / 60_000)} minutes`);
    return code;
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener('abort', onAbort);
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // All of it has ended.
  }
}
