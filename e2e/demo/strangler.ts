import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import { pause } from '@strangler/platform/backoff.ts';
import type { OperatorEnvironment } from '@strangler/stack/system/stage.ts';
import { runStranglerCommand } from '../processes/strangler-command.ts';

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
    super(`strangler ${words.join(' ')} ended with ${status}:\n${said}`);
    this.status = status;
  }
}

const gateOpensWithinMs = 60_000;

/**
 * Runs `strangler …` for the demo. Resolves to what it has printed, one value a line.
 * @throws StranglerError with its last words when it ends with a status that is not fine.
 */
export const runStrangler = async (
  words: readonly string[],
  { environment, signal, onEvent = () => {}, alsoFine = [] }: CommandOptions,
): Promise<unknown[]> => {
  const command = { words, environment, user: 'demo', signal };
  const { status, events, said } = await runStranglerCommand({ ...command, onEvent: (event) => onEvent(event) });
  if (![0, ...alsoFine].includes(status as number)) throw new StranglerError(words, status, said);
  return events;
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
      // Each try is a process, and takes a core for a second from what the gate waits for.
      await pause(1_500, command.signal);
    }
  }
};
