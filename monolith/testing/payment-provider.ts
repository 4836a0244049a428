import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { freePort } from '@strangler/platform/testing/servers.ts';
import type { Charge } from '../payment-provider/charge-book.ts';
import type { Controls } from '../payment-provider/controls.ts';
import type { Delivery } from '../payment-provider/webhook-sender.ts';

/** The payment provider, as a process of its own. */
export type TestProvider = {
  url: string;
  /** Sets controls; what is left out goes back to its default. The address for webhooks stays. */
  control(controls: Partial<Controls>): Promise<void>;
  charges(reference: string): Promise<Charge[]>;
  webhooks(): Promise<Delivery[]>;
  /** Ends the process as a crash would. */
  kill(): Promise<void>;
  stop(): Promise<void>;
};

const main = fileURLToPath(new URL('../payment-provider/main.ts', import.meta.url));

/** Starts `payment-provider/main.ts` on a free port, and waits until it is ready. */
export async function startTestProvider(env: NodeJS.ProcessEnv = {}): Promise<TestProvider> {
  const port = env.PORT === undefined ? await freePort() : Number(env.PORT);
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(process.execPath, [main], {
    env: {
      ...programEnvironment(),
      PORT: String(port),
      LOG_LEVEL: 'error',
      WEBHOOK_RETRY_MIN: '20',
      WEBHOOK_RETRY_MAX: '200',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await ready(child, url);

  const json = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const response = await fetch(`${url}${path}`, init);
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  };

  return {
    url,
    control: async (controls) => {
      await json('/control', {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(controls),
      });
    },
    charges: async (reference) => (await json<{ items: Charge[] }>(`/v1/charges?reference=${reference}`)).items,
    webhooks: async () => (await json<{ items: Delivery[] }>('/control/webhooks')).items,
    kill: () => end(child, 'SIGKILL'),
    stop: () => end(child, 'SIGTERM'),
  };
}

async function ready(child: ChildProcess, url: string): Promise<void> {
  for (;;) {
    if (child.exitCode !== null)
      throw new Error(`the payment provider ended with ${child.exitCode} before it was ready`);
    const isReady = await fetch(`${url}/health/ready`).then(
      (response) => response.ok,
      () => false,
    );
    if (isReady) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await ended;
}
