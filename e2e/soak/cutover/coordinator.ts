import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import type { OperatorEnvironment } from '@strangler/stack/system/stage.ts';
import { runStranglerCommand } from '../../processes/strangler-command.ts';

/** What a command of the coordinator came to. `refused`: a gate is shut, or it was called off. */
export type CoordinatorEnd = {
  outcome: 'done' | 'refused' | 'failed' | 'killed';
  status: number | string;
  said: string;
};

export type CoordinatorOptions = {
  environment: OperatorEnvironment;
  signal: AbortSignal;
  /** The step of the journal at whose begin it is killed with -9. */
  killAt?: string;
  /** Told when a step of the journal has begun. */
  onStep?: (step: string) => void;
};

/** Runs `strangler …` for the soak to its end, or until it is killed on purpose. */
export const coordinate = async (
  words: readonly string[],
  { environment, signal, killAt, onStep = () => {} }: CoordinatorOptions,
): Promise<CoordinatorEnd> => {
  const { status, said } = await runStranglerCommand({
    ...{ words, environment, user: 'soak', signal },
    onEvent(event, kill) {
      const step = stepBegun(event);
      if (step === null) return;
      if (step === killAt) kill();
      onStep(step);
    },
  });
  return { outcome: outcomeOf(status), status, said };
};

const outcomeOf = (status: number | string): CoordinatorEnd['outcome'] => {
  if (status === exitCodes.done) return 'done';
  if (status === 'SIGKILL') return 'killed';
  return status === exitCodes.refused || status === exitCodes.conflict ? 'refused' : 'failed';
};

const stepBegun = (event: unknown): string | null => {
  const { kind, step, state } = Object(event) as { kind?: string; step?: string; state?: string };
  return kind === 'cutover' && state === 'begun' && step !== undefined ? step : null;
};
