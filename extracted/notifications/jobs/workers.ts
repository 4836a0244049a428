import { runAsJob } from '@strangler/platform/http/request-context.ts';
import type { Log } from '@strangler/platform/log.ts';
import { type Job as BullJob, DelayedError, UnrecoverableError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Settings } from '../settings/settings.ts';
import type { JobKind } from './job.ts';
import { openConnection, type QueuedJob, scheduleQueue } from './job-queues.ts';
import type { RunJob } from './run-job.ts';

export type Workers = {
  /** Whether all of them take jobs. */
  running(): boolean;
  /** Takes no more, and waits for what is in hand. What is cut off is taken up by others when its lock has run out. */
  stop(): Promise<void>;
};

/** How long a job that cannot begin is put off. */
const pausedMs = 2_000;

/**
 * Workers for these kinds of jobs, and for the schedule. One lock is renewed while its process lives; a job whose process died is
 * given to another after `lockMs`, as often as `crashes`, and what becomes of it then is decided by its row in the database.
 */
export function startWorkers({
  redisUrl,
  prefix,
  kinds,
  concurrency,
  lockMs,
  runJob,
  settings,
  onSchedule,
  log,
}: {
  redisUrl: string;
  prefix: string;
  kinds: readonly JobKind[];
  concurrency: number;
  lockMs: number;
  runJob: RunJob;
  settings: Pick<Settings, 'now'>;
  /** Called each time the schedule comes up, with the day, `YYYY-MM-DD`. */
  onSchedule: (day: string) => Promise<void>;
  log: Log;
}): Workers {
  const crashes = 5;
  const connections: Redis[] = [];
  const start = (name: string, work: (job: BullJob, token: string | undefined) => Promise<unknown>) => {
    const connection = openConnection(redisUrl, log, { maxRetriesPerRequest: null });
    connections.push(connection);
    const worker = new Worker(name, work, {
      connection,
      prefix,
      concurrency,
      lockDuration: lockMs,
      stalledInterval: lockMs,
      maxStalledCount: crashes,
      skipVersionCheck: true,
    });
    worker.on('error', (error) => log.debug({ err: error, queue: name }, 'a worker of jobs is away'));
    return worker;
  };

  const putOff = async (job: BullJob, forMs: number, token: string | undefined): Promise<never> => {
    await job.moveToDelayed(Date.now() + forMs, token);
    throw new DelayedError();
  };

  const workers = kinds.map((kind) =>
    start(kind, async (bullJob, token) => {
      if (kind === 'email' && settings.now().email === 'paused') return putOff(bullJob, pausedMs, token);
      const { job, locale } = bullJob.data as QueuedJob;
      const last = bullJob.attemptsMade + 1 >= (bullJob.opts.attempts ?? 1);
      const progress = (percent: number) => bullJob.updateProgress(percent);
      const ran = await runAsJob(`notifications ${kind}`, async () => {
        const result = await runJob(job, { locale, last, progress });
        log.debug({ queue: kind, job: bullJob.id, outcome: result.outcome }, 'job');
        return result;
      });
      switch (ran.outcome) {
        case 'over':
          return ran.result;
        case 'busy':
          return putOff(bullJob, ran.forMs, token);
        case 'again':
          throw ran.error;
        case 'failed':
          throw new UnrecoverableError(ran.error.message);
      }
    }),
  );
  const all = kinds.includes('digest')
    ? [
        ...workers,
        start(scheduleQueue, async (job) => {
          await onSchedule(new Date(job.timestamp + (job.opts.delay ?? 0)).toISOString().slice(0, 10));
        }),
      ]
    : workers;

  return {
    running: () => all.every((worker) => worker.isRunning()),
    async stop() {
      await Promise.allSettled(all.map((worker) => worker.close()));
      for (const connection of connections) connection.disconnect();
    },
  };
}
