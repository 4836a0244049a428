import type { Log } from '@strangler/platform/log.ts';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import type { Locale } from '../recipients/recipients.ts';
import { type Job, jobKinds } from './job.ts';

/** What a worker is given. */
export type QueuedJob = { job: string; locale: Locale };

/** When a failed attempt is repeated: after the base, twice the base and so on, each shortened at random by up to `jitter`. */
export type Retries = { attempts: number; baseMs: number; jitter: number };

export type JobQueues = {
  ready(): boolean;
  /** Puts a job in line, once however often it is asked for; one that has ended in Redis and not in the database anew. */
  enqueue(job: Job, locale: Locale): Promise<'put in line' | 'in line before'>;
  /** Makes the digests of each day come up at a time, in UTC, given as a cron pattern. */
  schedule(pattern: string): Promise<void>;
  /** How often the schedule has come up and been done, as far as Redis keeps it. */
  scheduled(): Promise<number>;
  close(): Promise<void>;
};

export const scheduleQueue = 'schedule';
const schedulerId = 'daily-digests';

/** How long those that have ended are kept in Redis; the database keeps them longer. */
const keepDone = { age: 3_600, count: 1_000 };
const keepFailed = { age: 86_400, count: 10_000 };

/** `ended` in Redis says nothing when the database says otherwise: such a job is to be done again. */
const ended = new Set(['completed', 'failed', 'unknown']);

/**
 * The queues' producing end. Its connection fails at once when Redis is away, because whoever publishes has RabbitMQ to leave the
 * job in; a worker's connection waits instead (`maxRetriesPerRequest: null`), as BullMQ wants it.
 */
export function createJobQueues({
  redisUrl,
  prefix,
  retries,
  log,
}: {
  redisUrl: string;
  prefix: string;
  retries: Retries;
  log: Log;
}): JobQueues {
  const connection = openConnection(redisUrl, log, { maxRetriesPerRequest: 1, commandTimeout: 5_000 });
  const open = (name: string) => {
    const queue = new Queue(name, { connection, prefix, skipVersionCheck: true });
    queue.on('error', (error) => log.debug({ err: error, queue: name }, 'a queue of jobs is away'));
    return queue;
  };
  const queues = new Map(jobKinds.map((kind) => [kind, open(kind)] as const));
  const schedule = open(scheduleQueue);

  return {
    ready: () => connection.status === 'ready',
    async enqueue(job, locale) {
      const queue = queues.get(job.kind) as Queue;
      const found = await queue.getJob(job.id);
      if (found !== undefined) {
        if (!ended.has(await found.getState())) return 'in line before';
        await found.remove();
      }
      const data: QueuedJob = { job: job.id, locale };
      await queue.add(job.kind, data, {
        jobId: job.id,
        priority: job.priority,
        delay: Math.max(0, job.runAt.getTime() - Date.now()),
        attempts: retries.attempts,
        backoff: { type: 'exponential', delay: retries.baseMs, jitter: retries.jitter },
        removeOnComplete: keepDone,
        removeOnFail: keepFailed,
      });
      return 'put in line';
    },
    async schedule(pattern) {
      await schedule.upsertJobScheduler(
        schedulerId,
        { pattern, tz: 'UTC' },
        {
          name: schedulerId,
          data: {},
          opts: {
            attempts: retries.attempts,
            backoff: { type: 'exponential', delay: retries.baseMs, jitter: retries.jitter },
            removeOnComplete: keepDone,
            removeOnFail: keepFailed,
          },
        },
      );
    },
    scheduled: () => schedule.getCompletedCount(),
    async close() {
      await Promise.allSettled([...queues.values(), schedule].map((queue) => queue.close()));
      connection.disconnect();
    },
  };
}

/** A connection of ioredis, which BullMQ speaks through; everything else in the system uses its own client. */
export function openConnection(
  redisUrl: string,
  log: Log,
  options: { maxRetriesPerRequest: number | null; commandTimeout?: number },
): Redis {
  const connection = new Redis(redisUrl, {
    ...options,
    enableOfflineQueue: options.maxRetriesPerRequest === null,
    connectTimeout: 2_000,
    retryStrategy: (tries) => Math.min(2_000, 50 * 2 ** Math.min(tries, 6)) * (0.5 + Math.random() / 2),
  });
  let away = false;
  connection.on('error', (error) => {
    if (!away) log.warn({ err: error }, 'Redis is away; jobs wait');
    away = true;
  });
  connection.on('ready', () => {
    if (away) log.info('Redis is there again; jobs go on');
    away = false;
  });
  return connection;
}
