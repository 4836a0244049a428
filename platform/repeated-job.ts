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
    await runAsJob(name, async () => {
      try {
        await run();
        log.debug({ job: name }, 'job done');
      } catch (error) {
        log.error({ err: error, job: name }, 'a repeated job failed');
        throw error;
      }
      // Told of above, in the job's own context; the next run is a new one.
    }).catch(() => {});
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
