import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import type { OperatorEnvironment } from '@strangler/stack/system/stage.ts';

const cli = fileURLToPath(import.meta.resolve('@strangler/migrations/cli/main.ts'));
const keptCharacters = 20_000;

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

/** Runs `strangler …` with `--json` to its end, or until it is killed on purpose. */
export const coordinate = async (
  words: readonly string[],
  { environment, signal, killAt, onStep = () => {} }: CoordinatorOptions,
): Promise<CoordinatorEnd> => {
  signal.throwIfAborted();
  const child = spawn(process.execPath, [cli, ...words, '--json'], {
    env: { PATH: process.env.PATH ?? '', ...environment, STRANGLER_USER: 'soak' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const interrupt = () => void child.kill('SIGTERM');
  signal.addEventListener('abort', interrupt, { once: true });
  let said = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-keptCharacters);
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const step of lines.flatMap(stepBegun)) {
      if (step === killAt) child.kill('SIGKILL');
      onStep(step);
    }
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-keptCharacters);
  });
  try {
    const [code, by] = (await once(child, 'close')) as [number | null, string | null];
    signal.throwIfAborted();
    const status = code ?? by ?? 'nothing';
    return { outcome: outcomeOf(status), status, said: said.trim() };
  } finally {
    signal.removeEventListener('abort', interrupt);
  }
};

const outcomeOf = (status: number | string): CoordinatorEnd['outcome'] => {
  if (status === exitCodes.done) return 'done';
  if (status === 'SIGKILL') return 'killed';
  return status === exitCodes.refused || status === exitCodes.conflict ? 'refused' : 'failed';
};

const stepBegun = (line: string): string[] => {
  const event = JSON.parse(line) as { kind?: string; step?: string; state?: string };
  return event.kind === 'cutover' && event.state === 'begun' && event.step !== undefined ? [event.step] : [];
};
