import { pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import { select } from '@strangler/platform/mysql/statements.ts';
import { pruneInbox } from '@strangler/platform/outbox/inbox.ts';
import type { Pool } from 'mysql2/promise';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import type { Recipients } from '../recipients/recipients.ts';
import type { JobQueues } from './job-queues.ts';
import type { JobStore } from './job-store.ts';

export type Sweeper = {
  /** Looks once, now; returns how many jobs were put in line again. */
  sweep(): Promise<number>;
  stop(): Promise<void>;
};

const mostAtOnce = 200;

/**
 * Looks, every `everyMs` or so, for jobs that the database says are not over and that nobody has touched for `lostAfterMs`: Redis
 * has lost them, or a process died between its commit and its publication. They are put in line again, which changes nothing where
 * they stand in line already. Forgets what is older than it has to be kept.
 */
export function startSweeper({
  pool,
  jobs,
  queues,
  recipients,
  times,
  clock,
  log,
  registry,
}: {
  pool: Pool;
  jobs: JobStore;
  queues: Pick<JobQueues, 'ready' | 'enqueue'>;
  recipients: Pick<Recipients, 'preferences'>;
  times: { everyMs: number; lostAfterMs: number; keepInboxMs: number; keepJobsMs: number };
  clock: Clock;
  log: Log;
  registry: Registry;
}): Sweeper {
  const stopping = new AbortController();
  const found = new Counter({
    name: 'notifications_jobs_put_in_line_again_total',
    help: 'Jobs that stood in the database and that nobody had touched for too long.',
    registers: [registry],
  });
  const states = new Gauge({
    name: 'notifications_jobs',
    help: 'Jobs in the database that are not done, by kind and state, when they were last looked at.',
    labelNames: ['kind', 'state'],
    registers: [registry],
  });

  const sweep = async (): Promise<number> => {
    const now = clock.now();
    const counts = await select<{ kind: string; state: string; n: number }>(
      pool,
      "SELECT kind, state, COUNT(*) AS n FROM jobs WHERE state <> 'done' GROUP BY kind, state",
    );
    states.reset();
    for (const { kind, state, n } of counts) states.set({ kind, state }, n);
    await pruneInbox(pool, times.keepInboxMs);
    await jobs.prune(new Date(now.getTime() - times.keepJobsMs), mostAtOnce);
    if (!queues.ready()) return 0;
    const lost = await jobs.lost(now, times.lostAfterMs, mostAtOnce);
    let putInLine = 0;
    for (const job of lost) {
      const { locale } = await recipients.preferences(job.accountId);
      if ((await queues.enqueue(job, locale)) === 'put in line') putInLine += 1;
    }
    found.inc(putInLine);
    return putInLine;
  };

  const run = async (): Promise<void> => {
    // Instances that started together do not look together.
    while ((await pause(times.everyMs * (0.5 + Math.random()), stopping.signal)) === 'elapsed') {
      await sweep().catch((error: unknown) => log.warn({ err: error }, 'lost jobs could not be looked for'));
    }
  };
  const running = run();
  return {
    sweep,
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
