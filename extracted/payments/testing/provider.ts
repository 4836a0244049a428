import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually, freePort } from '@strangler/platform/testing/servers.ts';

/** A charge as the provider's API shows it. */
export type Charge = {
  id: string;
  status: 'pending' | 'succeeded' | 'failed';
  amount_cents: number;
  currency: string;
  reference: string;
  failure_code: string | null;
  refunded_cents: number;
};

/** The payment provider, as a process of its own. */
export type TestProvider = {
  url: string;
  /** Sets controls; what is left out goes back to its default. The address for webhooks stays unless it is given. */
  control(controls: Record<string, unknown>): Promise<void>;
  charges(reference: string): Promise<Charge[]>;
  /** How many charges it holds altogether. */
  held(): Promise<number>;
  /** Webhooks that are still to be delivered. */
  waiting(): Promise<number>;
  stop(): Promise<void>;
};

const main = fileURLToPath(new URL('../../../monolith/payment-provider/main.ts', import.meta.url));

export const webhookSecret = 'a-secret-of-the-tests';

/** Starts the stand-in of the provider on a free port, and waits until it is ready. */
export async function startTestProvider(env: NodeJS.ProcessEnv = {}): Promise<TestProvider> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(process.execPath, [main], {
    env: {
      ...{ ...programEnvironment(), PORT: String(port), LOG_LEVEL: 'fatal', PAYMENT_WEBHOOK_SECRET: webhookSecret },
      ...{ WEBHOOK_RETRY_MIN: '20', WEBHOOK_RETRY_MAX: '200', WEBHOOK_ATTEMPTS: '100' },
      ...env,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await eventually(async () => (await fetch(`${url}/health/ready`)).ok, { withinMs: 60_000 });
  const json = async (path: string, init?: RequestInit): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, init);
    if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
    return response.json();
  };
  type Control = { charges: number; webhooks: { waiting: number } };
  return {
    url,
    control: async (controls) => {
      const headers = { 'content-type': 'application/json' };
      await json('/control', { method: 'PUT', headers, body: JSON.stringify(controls) });
    },
    charges: async (reference) => ((await json(`/v1/charges?reference=${reference}`)) as { items: Charge[] }).items,
    held: async () => ((await json('/control')) as Control).charges,
    waiting: async () => ((await json('/control')) as Control).webhooks.waiting,
    stop: () => end(child),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** A webhook's body as the provider would send it. */
export function webhookOf(
  charge: Partial<Charge> & { reference: string },
  id = `evt_${randomBytes(8).toString('hex')}`,
) {
  const whole = {
    ...{ id: 'ch_1', status: 'succeeded', amount_cents: 1_000, currency: 'EUR', failure_code: null, refunded_cents: 0 },
    ...charge,
  };
  return { id, type: `charge.${whole.status}`, data: { charge: whole } };
}

/** The value of `Provider-Signature`. */
export function sign(body: string, { secret = webhookSecret, at = new Date() } = {}): string {
  const t = Math.floor(at.getTime() / 1000);
  return `t=${t},v1=${createHmac('sha256', secret).update(`${t}.${body}`).digest('hex')}`;
}
