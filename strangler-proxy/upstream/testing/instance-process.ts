import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** A real HTTP server in a process of its own, which can be killed with no chance to say goodbye, and started again. */
export type InstanceProcess = {
  readonly id: string;
  readonly port: number;
  readonly origin: string;
  /** `kill -9`; settles when the process is gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port, if it does not run. */
  start(): Promise<void>;
};

export async function startInstance(id: string): Promise<InstanceProcess> {
  let running = await launch(id, 0);
  const { port } = running;
  const runs = () => running.child.exitCode === null && running.child.signalCode === null;
  return {
    id,
    port,
    origin: `http://127.0.0.1:${port}`,
    async kill() {
      if (!runs()) return;
      const exited = once(running.child, 'exit');
      running.child.kill('SIGKILL');
      await exited;
    },
    async start() {
      if (!runs()) running = await launch(id, port);
    },
  };
}

async function launch(id: string, port: number): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(join(import.meta.dirname, 'instance-main.ts'), {
    env: { ...process.env, INSTANCE_ID: id, PORT: String(port), NODE_OPTIONS: '' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const listening = once(child, 'message').then(([message]) => (message as { port: number }).port);
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`instance ${id} ended with ${code} before it listened on port ${port}`);
  });
  failed.catch(() => {});
  return { child, port: await Promise.race([listening, failed]) };
}
