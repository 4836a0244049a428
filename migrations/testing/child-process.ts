import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { programEnvironment } from '@strangler/platform/testing/program-environment.ts';
import { eventually } from '@strangler/platform/testing/servers.ts';

/** A program of the pipe as a process of its own, which can be killed and started again. */
export type PipeProcess = {
  readonly name: string;
  /** Of its health checks and metrics; another after each start. */
  url(): string;
  pid(): number | undefined;
  running(): boolean;
  /** What it has written since its last start, up to the last 200 000 characters. */
  output(): string;
  signal(signal: NodeJS.Signals): void;
  /** `kill -9`; resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with its exit code, or the signal that ended it. */
  stop(): Promise<number | string>;
  /** Starts it again with the same environment, and what is given over it. It must not be running. */
  start(env?: Record<string, string>): Promise<void>;
  /** The checks of `/health/ready` and whether all of them pass. */
  ready(): Promise<{ ready: boolean; checks: Record<string, string> }>;
  /** The sum of a metric's samples, whatever their labels, or of those that have these labels. */
  metric(name: string, labels?: Record<string, string>): Promise<number>;
};

/** Starts `node <main>` and resolves when it has logged the address it listens on. */
export async function startPipeProcess(options: {
  name: string;
  main: string;
  env: Record<string, string>;
  /** Names what started it, for who looks at the machine's processes. */
  startWithinMs?: number;
}): Promise<PipeProcess> {
  const { name, main, startWithinMs = 60_000 } = options;
  let env = { ...programEnvironment(), HOST: '127.0.0.1', PORT: '0', LOG_LEVEL: 'info', ...options.env };
  let child: ChildProcess | undefined;
  let exited: Promise<number | string> = Promise.resolve(0);
  let output = '';
  let url = '';
  let over = true;

  async function start(more: Record<string, string> = {}): Promise<void> {
    if (!over) throw new Error(`${name} is running already`);
    env = { ...env, ...more };
    const started = spawn(process.execPath, [main], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    child = started;
    output = '';
    over = false;
    for (const stream of [started.stdout, started.stderr]) {
      stream.on('data', (chunk) => {
        output = (output + chunk).slice(-200_000);
      });
    }
    exited = once(started, 'exit').then(([code, signal]) => {
      over = true;
      return (code ?? signal) as number | string;
    });
    const found = await eventually(() => (over ? 'over' : (/"url":"(http:[^"]+)"/.exec(output)?.[1] ?? false)), {
      withinMs: startWithinMs,
    }).catch(() => 'late');
    if (found === 'over' || found === 'late') {
      started.kill('SIGKILL');
      throw new Error(`${name} did not start (${found}): ${output.slice(-2_000)}`);
    }
    url = found;
  }

  async function end(signal: NodeJS.Signals): Promise<number | string> {
    if (!over) child?.kill(signal);
    return await exited;
  }

  /** What does not run any more says why, where what asked it would say that nobody answers. */
  async function ask(path: string): Promise<Response> {
    if (over) throw new Error(`${name} has ended (${await exited}): ${output.slice(-4_000)}`);
    return await fetch(`${url}${path}`);
  }

  await start();
  return {
    name,
    url: () => url,
    pid: () => child?.pid,
    running: () => !over,
    output: () => output,
    signal: (signal) => void child?.kill(signal),
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
    start,
    async ready() {
      const answer = await ask('/health/ready');
      const { checks } = (await answer.json()) as { checks: Record<string, string> };
      return { ready: answer.status === 200, checks };
    },
    async metric(metric, labels = {}) {
      const text = await (await ask('/metrics')).text();
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      let sum = 0;
      for (const line of text.split('\n')) {
        const [, found, told = '', value] = /^(\w+)(\{.*\})? (\S+)$/.exec(line) ?? [];
        if (found === metric && wanted.every((one) => told.includes(one))) sum += Number(value);
      }
      return sum;
    },
  };
}
