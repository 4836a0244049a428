import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually } from '@strangler/platform/testing/eventually.ts';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));

/** An inventory as a process of its own. */
export type InventoryProcess = {
  url: string;
  /** Of its gRPC. */
  address: string;
  output(): string;
  signal(signal: NodeJS.Signals): void;
  /** The exit code, or the signal that ended it. */
  exited: Promise<number | string>;
};

export async function startInventoryProcess(env: NodeJS.ProcessEnv): Promise<InventoryProcess> {
  const child = spawn(process.execPath, [main], {
    env: { ...programEnvironment(), ...env, LOG_LEVEL: 'info' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output = (output + chunk).slice(-200_000);
    });
  }
  const exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  let over = false;
  void exited.then(() => {
    over = true;
  });
  const listening = await eventually(
    () => {
      if (over) return ['', '', ''];
      return /"url":"(http[^"]+)","grpc":"([^"]+)"/.exec(output) ?? false;
    },
    { withinMs: 60_000 },
  ).catch(() => ['', '', '']);
  const [, url = '', address = ''] = listening;
  if (url === '') {
    child.kill('SIGKILL');
    throw new Error(`the inventory did not start: ${output.slice(-2_000)}`);
  }
  return { url, address, output: () => output, signal: (signal) => void child.kill(signal), exited };
}
