import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import { pause } from '@strangler/platform/backoff.ts';
import type { OperatorEnvironment } from '@strangler/stack/system/stage.ts';

export type CommandOptions = {
  environment: OperatorEnvironment;
  signal: AbortSignal;
  /** Told of each JSON value as it is printed. */
  onEvent?: (event: unknown) => void;
  /** Exit statuses that are answers, beside 0. */
  alsoFine?: readonly number[];
};

/** The command ended with a status that is no answer. */
export class StranglerError extends Error {
  override name = 'StranglerError';
  readonly status: number | string;

  constructor(words: readonly string[], status: number | string, said: string) {
    super(`strangler ${words.join(' ')} ended with ${status}:\n${said.trim()}`);
    this.status = status;
  }
}

const cli = fileURLToPath(new URL('../../migrations/cli/main.ts', import.meta.url));
const keptCharacters = 20_000;
const gateOpensWithinMs = 60_000;

/**
 * Runs `strangler …` with `--json`, as an operator's script would. Resolves to what it has printed, one value a line.
 * @throws StranglerError with its last words when it ends with a status that is not fine.
 */
export const runStrangler = async (
  words: readonly string[],
  { environment, signal, onEvent = () => {}, alsoFine = [] }: CommandOptions,
): Promise<unknown[]> => {
  signal.throwIfAborted();
  const child = spawn(process.execPath, [cli, ...words, '--json'], {
    env: { PATH: process.env.PATH ?? '', ...environment, STRANGLER_USER: 'demo' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const interrupt = () => void child.kill('SIGTERM');
  signal.addEventListener('abort', interrupt, { once: true });
  const events: unknown[] = [];
  let said = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-keptCharacters);
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const event: unknown = JSON.parse(line);
      events.push(event);
      onEvent(event);
    }
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-keptCharacters);
  });
  try {
    const status = await new Promise<number | string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, by) => resolve(code ?? by ?? 'nothing'));
    });
    signal.throwIfAborted();
    if (![0, ...alsoFine].includes(status as number)) throw new StranglerError(words, status, said);
    return events;
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
};

/**
 * The same; tries again while a gate is shut: whoever was killed takes a moment to come back, and to what has waited.
 * @throws StranglerError when the gate stays shut, and for any other end
 */
export const runOnceOpen = async (words: readonly string[], command: CommandOptions): Promise<void> => {
  const deadline = performance.now() + gateOpensWithinMs;
  for (;;) {
    try {
      await runStrangler(words, command);
      return;
    } catch (error) {
      const isShut = error instanceof StranglerError && error.status === exitCodes.refused;
      if (!isShut || performance.now() > deadline) throw error;
      await pause(500, command.signal);
    }
  }
};
