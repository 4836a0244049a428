import { runAsJob } from './http/request-context.ts';
import type { Log } from './log.ts';

export type RepeatedJob = {
  /** Starts no further run, and waits for the one under way. */
  stop(): Promise<void>;
};

/**
 * Runs `run` every `intervalMs`, counted from the end of the run before, so that runs never overlap; each as a job of this name. A run
 * that throws is logged.
 */
export function repeat(name: string, intervalMs: number, log: Log, run: () => Promise<void>): RepeatedJob {
  let stopped = false;
  let timer: NodeJS.Timeout;
  let running: Promise<void> = Promise.resolve();
  const schedule = () => {
    timer = setTimeout(() => {
      running = once();
    }, intervalMs);
    timer.unref();
  };
  const once = async () => {
    try {
      await runAsJob(name, run);
    } catch (error) {
      log.error({ err: error, job: name }, 'a repeated job failed');
    }
    if (!stopped) schedule();
  };
  schedule();
  return {
    stop: async () => {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
