import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type ProxyStatus, proxyStatusPath, proxyStatusSchema } from '@strangler/platform/contracts/proxy-status.ts';

/** The complete proxy as a process of its own, with its workers. */
export type ProxyProgram = {
  url: string;
  adminUrl: string;
  child: ChildProcess;
  /** Every line of its log so far. */
  log: Record<string, unknown>[];
  status(): Promise<ProxyStatus>;
  metrics(): Promise<string>;
  /** Sends a signal and waits for the end; the exit status, or the signal that ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
};

const readyWithinMs = 90_000;

/**
 * Starts the proxy with these variables of the environment, on free ports, and waits until every worker listens.
 * Rejects with its last words where it ends before that.
 */
export const startProxyProgram = async (environment: Record<string, string>): Promise<ProxyProgram> => {
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  const child = spawn(process.execPath, [join(import.meta.dirname, '../main.ts')], {
    env: { ...inherited, PORT: '0', ADMIN_PORT: '0', LOG_LEVEL: 'info', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: Record<string, unknown>[] = [];
  let words = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    words += text;
  });
  const ready = Promise.withResolvers<{ url: string; admin: string }>();
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const entry = JSON.parse(line) as Record<string, unknown>;
    log.push(entry);
    if (entry.msg === 'proxy ready') ready.resolve(entry as { url: string; admin: string });
  });
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal));
  });
  const tooLate = setTimeout(() => ready.reject(new Error(`the proxy is not ready: ${words}`)), readyWithinMs);
  void ended.then((status) => ready.reject(new Error(`the proxy ended with ${status}: ${words}`)));

  try {
    const { url, admin } = await ready.promise;
    return {
      url,
      adminUrl: admin,
      child,
      log,
      status: async () => proxyStatusSchema.parse(await (await fetch(`${admin}${proxyStatusPath}`)).json()),
      metrics: async () => (await fetch(`${admin}/metrics`)).text(),
      stop: (signal = 'SIGTERM') => {
        child.kill(signal);
        return ended;
      },
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    clearTimeout(tooLate);
  }
};
