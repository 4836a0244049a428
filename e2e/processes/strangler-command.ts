import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';

export type StranglerCommand = {
  /** Without `--json`. */
  words: readonly string[];
  /** All that it has of one, but for PATH. */
  environment: Readonly<Record<string, string>>;
  /** Who the audit log says it was. */
  user: string;
  /** Asks it to end, as Ctrl-C does. */
  signal: AbortSignal;
  /** Told of each JSON value as it is printed; may kill the command with -9. */
  onEvent?: (event: unknown, kill: () => void) => void;
};

export type StranglerEnd = {
  /** The exit status, or the signal that ended it. */
  status: number | string;
  /** What it has printed, one value a line. */
  events: unknown[];
  /** The end of all that it has written. */
  said: string;
};

const cli = fileURLToPath(import.meta.resolve('@strangler/migrations/cli/main.ts'));
const keptCharacters = 20_000;

/**
 * Runs `strangler …` with `--json` as a process of its own, as an operator's script would, to its end, whatever that is.
 * @throws the signal's reason when that fires; an Error where it cannot be started, or prints what is no JSON
 */
export const runStranglerCommand = async ({
  words,
  environment,
  user,
  signal,
  onEvent = () => {},
}: StranglerCommand): Promise<StranglerEnd> => {
  signal.throwIfAborted();
  const child = spawn(process.execPath, [cli, ...words, '--json'], {
    env: { ...programEnvironment(), ...environment, STRANGLER_USER: user },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = Promise.withResolvers<number | string>();
  child.once('error', ended.reject);
  child.once('close', (code, by) => ended.resolve(code ?? by ?? 'nothing'));
  const interrupt = () => void child.kill('SIGTERM');
  signal.addEventListener('abort', interrupt, { once: true });
  const events: unknown[] = [];
  let said = '';
  let rest = '';
  const hear = (line: string): void => {
    const event: unknown = JSON.parse(line);
    events.push(event);
    onEvent(event, () => void child.kill('SIGKILL'));
  };
  const fail = (error: unknown): void => {
    child.kill('SIGKILL');
    ended.reject(new Error(`strangler ${words.join(' ')}: ${(error as Error).message}:\n${said}`, { cause: error }));
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-keptCharacters);
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    try {
      for (const line of lines) hear(line);
    } catch (error) {
      fail(error);
    }
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-keptCharacters);
  });
  try {
    const status = await ended.promise;
    signal.throwIfAborted();
    return { status, events, said: said.trim() };
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
};
