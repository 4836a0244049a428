import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';

const repositoryRoot = fileURLToPath(new URL('../../', import.meta.url));

/** A program of the house, as a process of its own. */
export type ProgramDefinition = {
  /** For messages. */
  name: string;
  /** Relative to the repository, such as `monolith/main.ts`. */
  entry: string;
  args?: readonly string[];
  /** Its whole environment, but for PATH. */
  env: Record<string, string>;
  /** Answers 200 once the program can do its work. */
  readyUrl: string;
  /** 30 000 ms unless told. */
  readyWithinMs?: number;
};

export type Program = {
  readonly name: string;
  readonly pid: number;
  /** The end of what it has written. */
  output(): string;
  /** Sends SIGTERM, or what is told, and waits for the end; SIGKILL after 10 s. Resolves to the exit code or signal. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
};

const KEPT_OUTPUT_CHARACTERS = 20_000;
const STOP_GRACE_MS = 10_000;
const POLL_MS = 20;

/** Starts a program with the Node that runs this, and waits until it is ready. Rejects with its last words when it is not. */
export async function startProgram(definition: ProgramDefinition): Promise<Program> {
  const { name, entry, args = [], env, readyUrl, readyWithinMs = 30_000 } = definition;
  const child = spawn(process.execPath, [entry, ...args], {
    cwd: repositoryRoot,
    env: { ...programEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-KEPT_OUTPUT_CHARACTERS);
    });
  }
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('error', (error) => {
      output += error.message;
      resolve(null);
    });
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
  // Whatever ends this process must not leave the child behind.
  const killChild = () => void child.kill('SIGKILL');
  process.once('exit', killChild);
  void ended.then(() => process.off('exit', killChild));

  try {
    await ready({ name, readyUrl, readyWithinMs, child, output: () => output });
  } catch (error) {
    child.kill('SIGKILL');
    await ended;
    throw error;
  }
  return {
    name,
    pid: child.pid ?? 0,
    output: () => output,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_GRACE_MS);
      return ended.finally(() => clearTimeout(kill));
    },
  };
}

async function ready({
  name,
  readyUrl,
  readyWithinMs,
  child,
  output,
}: {
  name: string;
  readyUrl: string;
  readyWithinMs: number;
  child: ChildProcess;
  output: () => string;
}): Promise<void> {
  const deadline = performance.now() + readyWithinMs;
  let last = 'it was not asked';
  while (performance.now() < deadline) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${name} ended with ${child.exitCode ?? child.signalCode} before it was ready:\n${output()}`);
    }
    try {
      const answer = await fetch(readyUrl, { signal: AbortSignal.timeout(2_000) });
      const text = await answer.text();
      if (answer.status === 200) return;
      last = `${readyUrl} answered ${answer.status}: ${text}`;
    } catch (error) {
      last = `${readyUrl}: ${(error as Error).message}`;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`${name}: expected it to be ready within ${readyWithinMs} ms, found ${last}\n${output()}`);
}
