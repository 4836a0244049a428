import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { exitCodes } from '@strangler/migrations/cli/exit-codes.ts';
import { pause } from '@strangler/platform/backoff.ts';
import { stages } from '@strangler/platform/contracts/flag-document.ts';
import { openFlagStore } from '@strangler/platform/flags/open-store.ts';
import { createLog } from '@strangler/platform/log.ts';
import { repositoryRoot } from '../home/paths.ts';
import { runCommand } from '../process/run.ts';
import { pinnedNode } from './process-handle.ts';
import type { StartStage } from './start-stages.ts';

export { type StartStage, startStages } from './start-stages.ts';

/** The slice of the example system. */
const slice = 'catalog';

/** What `strangler` reads from the environment. */
export const operatorVariables = [
  'STRANGLER_SOURCE',
  'STRANGLER_TARGET',
  'STRANGLER_SLICES',
  'STRANGLER_FLAGS',
  'RABBITMQ_URL',
  'REDIS_URL',
] as const;
export type OperatorEnvironment = Record<(typeof operatorVariables)[number], string> & {
  /** Of these services, where there are any. */
  STRANGLER_TARGET_INVENTORY?: string;
  STRANGLER_TARGET_NOTIFICATIONS?: string;
  STRANGLER_TARGET_PAYMENTS?: string;
  STRANGLER_TARGET_ORDERS?: string;
};

const ADVANCE_TIMEOUT_MS = 600_000;
/** How long a gate may stay shut at the start: appliers take a moment to come to their queues. */
const GATE_PATIENCE_MS = 60_000;

/**
 * Takes the slice to a stage with the commands that an operator would type. One that is there already, or further,
 * stays where it is. Everything that works on the slice must run. What the commands say is appended to `logFile`.
 */
export async function bringToStage(
  wanted: StartStage,
  {
    operator,
    say,
    logFile,
    signal,
  }: { operator: OperatorEnvironment; say: (line: string) => void; logFile: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const { store, close } = openFlagStore(operator.STRANGLER_FLAGS, {
    log: createLog({ name: 'start', level: 'silent' }),
  });
  try {
    for (;;) {
      const stage = (await store.get(slice))?.document.stage ?? 'monolith';
      if (stages.indexOf(stage) >= stages.indexOf(wanted)) return;
      const begun = performance.now();
      for (;;) {
        const refusal = await advance(operator, logFile, signal);
        if (refusal === undefined) break;
        // What keeps a slice from being captured does not pass by itself.
        if (stage === 'monolith' || performance.now() - begun > GATE_PATIENCE_MS) throw refusal;
        await pause(500, signal);
      }
      const now = (await store.get(slice))?.document.stage ?? 'monolith';
      if (now === stage) throw new Error(`strangler advance ${slice} has left it at ${stage}; see ${logFile}`);
      say(`slice ${slice} at stage ${now} after ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    }
  } finally {
    close();
  }
}

/** Resolves to the refusal where a gate is shut. */
async function advance(
  operator: OperatorEnvironment,
  logFile: string,
  signal: AbortSignal | undefined,
): Promise<Error | undefined> {
  const args = ['advance', slice, '--reason', 'as the system starts'];
  // Addresses hold passwords, so they are not on the command line.
  const env = { NODE_OPTIONS: '', ...operator, STRANGLER_USER: 'npm start' };
  const { code, stdout, stderr, ...ended } = await runCommand(
    { file: pinnedNode(), args: [join(repositoryRoot, 'migrations/cli/main.ts'), ...args], cwd: repositoryRoot, env },
    { timeoutMs: ADVANCE_TIMEOUT_MS, outputLimit: 100_000, signal },
  );
  signal?.throwIfAborted();
  const output = `${stdout}\n${stderr}`.trim();
  appendFileSync(logFile, `strangler ${args.join(' ')}\n${output}\n`, { mode: 0o600 });
  if (code === 0) return undefined;
  const tail = output
    .split('\n')
    .slice(-15)
    .map((line) => `    ${line}`);
  const fault = new Error([`strangler advance ${slice} ended with ${code ?? ended.signal}:`, ...tail].join('\n'));
  if (code === exitCodes.refused) return fault;
  throw fault;
}
