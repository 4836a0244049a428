import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { programEnvironment } from '../../testing/program-environment.ts';
import { eventually } from '../../testing/servers.ts';

const main = fileURLToPath(new URL('../relay/main.ts', import.meta.url));

/** A relay as a process of its own. */
export type RelayProcess = {
  url: string;
  output(): string;
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the exit code, or the signal that ended it. */
  exited: Promise<number | string>;
};

export async function startRelayProcess(env: Record<string, string>): Promise<RelayProcess> {
  const child: ChildProcess = spawn(process.execPath, [main], {
    env: { ...programEnvironment(), PORT: '0', LOG_LEVEL: 'info', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output = (output + chunk).slice(-200_000);
    });
  }
  const exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  let over = false;
  void exited.then(() => {
    over = true;
  });
  const url = await eventually(
    () => {
      if (over) return 'over';
      return /"url":"(http[^"]+)","relayId"/.exec(output)?.[1] ?? false;
    },
    { withinMs: 60_000 },
  ).catch(() => undefined);
  if (url === undefined || url === 'over') {
    child.kill('SIGKILL');
    throw new Error(`the relay did not start: ${output.slice(-2_000)}`);
  }
  return { url, output: () => output, signal: (signal) => void child.kill(signal), exited };
}
