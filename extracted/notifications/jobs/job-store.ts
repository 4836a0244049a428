import { change, type Executor, select } from '@strangler/platform/mysql/statements.ts';
import { withTransaction } from '@strangler/platform/mysql/transaction.ts';
import type { Pool } from 'mysql2/promise';
import {
  afterFailure,
  type Begin,
  begin,
  type Failure,
  isLost,
  type Job,
  type JobKind,
  type JobState,
  type NewJob,
} from './job.ts';

type Row = {
  id: string;
  kind: JobKind;
  account_id: number;
  notification_id: number | null;
  order_id: number | null;
  day: string | null;
  after_job: string | null;
  state: JobState;
  priority: number;
  run_at: Date;
  attempts: number;
  doubtful: number;
  progress: number;
  lease_until: Date | null;
  error: string | null;
  result: string | null;
  created_at: Date;
  finished_at: Date | null;
};

const longestError = 500;

/** Adds a job where there is none of that id. */
export async function addJob(executor: Executor, job: NewJob, now: Date): Promise<void> {
  await change(
    executor,
    `INSERT INTO jobs (id, kind, account_id, notification_id, order_id, day, after_job, state, priority, run_at, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?, ?) ON DUPLICATE KEY UPDATE id = id`,
    [
      ...[job.id, job.kind, job.accountId, job.notificationId, job.orderId, job.day, job.after],
      ...[job.priority, job.runAt, now],
    ],
  );
}

export type Begun = { begin: Begin; job: Job } | undefined;

export type JobStore = {
  find(id: string): Promise<Job | undefined>;
  /** Newest first. */
  list(options: { state: JobState | undefined; limit: number; before: string | undefined }): Promise<Job[]>;
  ofNotification(notificationId: number): Promise<Job[]>;
  /** Decides whether it may be run now, and if so has it leased to the caller. Undefined where there is no such job. */
  begin(id: string, now: Date, leaseMs: number): Promise<Begun>;
  progress(id: string, percent: number): Promise<void>;
  done(id: string, result: string, now: Date): Promise<void>;
  /** Returns what it is from then on. */
  failed(
    job: Pick<Job, 'id' | 'doubtful'>,
    failure: Failure,
    options: { error: string; last: boolean; now: Date },
  ): Promise<'pending' | 'failed'>;
  /** Makes a failed job pending again; false where it is not failed. */
  reopen(id: string, now: Date): Promise<boolean>;
  /** Jobs that wait for this one to be over. */
  waitingFor(id: string): Promise<Job[]>;
  /** Jobs that are not over, and that nobody has touched for `afterMs` beyond their time. */
  lost(now: Date, afterMs: number, limit: number): Promise<Job[]>;
  prune(before: Date, limit: number): Promise<number>;
};

export function createJobStore({ pool }: { pool: Pool }): JobStore {
  const jobsWhere = async (executor: Executor, rest: string, values: unknown[]) =>
    (await select<Row>(executor, `SELECT * FROM jobs WHERE ${rest}`, values)).map(jobOf);

  return {
    find: async (id) => (await jobsWhere(pool, 'id = ?', [id]))[0],
    list: ({ state, limit, before }) =>
      jobsWhere(
        pool,
        `(? IS NULL OR state = ?)
           AND (? IS NULL OR (created_at, id) < (SELECT created_at, id FROM jobs AS shown WHERE shown.id = ?))
         ORDER BY created_at DESC, id DESC LIMIT ?`,
        [state ?? null, state ?? null, before ?? null, before ?? null, limit],
      ),
    ofNotification: (notificationId) => jobsWhere(pool, 'notification_id = ?', [notificationId]),

    begin: (id, now, leaseMs) =>
      withTransaction(pool, 'READ COMMITTED', async (transaction) => {
        const [job] = await jobsWhere(transaction, 'id = ? FOR UPDATE', [id]);
        if (job === undefined) return undefined;
        const decision = begin(job, now);
        if (decision.outcome === 'run') {
          await change(
            transaction,
            `UPDATE jobs SET state = 'running', attempts = attempts + 1, doubtful = ?, progress = 0, lease_until = ?, error = NULL
              WHERE id = ?`,
            [decision.doubtful, new Date(now.getTime() + leaseMs), id],
          );
        }
        if (decision.outcome === 'give up') {
          const error = 'attempts ended without a word: nobody knows whether they took effect';
          await change(
            transaction,
            "UPDATE jobs SET state = 'failed', doubtful = ?, lease_until = NULL, error = ?, finished_at = ? WHERE id = ?",
            [decision.doubtful, error, now, id],
          );
        }
        return {
          begin: decision,
          job: { ...job, doubtful: 'doubtful' in decision ? decision.doubtful : job.doubtful },
        };
      }),

    async progress(id, percent) {
      await change(pool, "UPDATE jobs SET progress = ? WHERE id = ? AND state = 'running'", [percent, id]);
    },
    async done(id, result, now) {
      await change(
        pool,
        `UPDATE jobs SET state = 'done', progress = 100, lease_until = NULL, error = NULL, result = ?, finished_at = ?
          WHERE id = ?`,
        [result, now, id],
      );
    },
    async failed({ id, doubtful }, failure, { error, last, now }) {
      const next = afterFailure(failure, { last, doubtful });
      await change(
        pool,
        'UPDATE jobs SET state = ?, doubtful = ?, lease_until = NULL, error = ?, finished_at = ? WHERE id = ?',
        [next.state, next.doubtful, error.slice(0, longestError), next.state === 'failed' ? now : null, id],
      );
      return next.state;
    },
    async reopen(id, now) {
      const { found } = await change(
        pool,
        `UPDATE jobs SET state = 'pending', doubtful = 0, progress = 0, run_at = ?, finished_at = NULL
          WHERE id = ? AND state = 'failed'`,
        [now, id],
      );
      return found > 0;
    },
    waitingFor: (id) => jobsWhere(pool, "after_job = ? AND state = 'pending'", [id]),
    async lost(now, afterMs, limit) {
      const jobs = await jobsWhere(
        pool,
        `state IN ('pending', 'running') AND run_at < ?
           AND (after_job IS NULL OR NOT EXISTS
             (SELECT 1 FROM jobs AS earlier WHERE earlier.id = jobs.after_job AND earlier.state IN ('pending', 'running')))
         ORDER BY run_at LIMIT ?`,
        [new Date(now.getTime() - afterMs), limit],
      );
      return jobs.filter((job) => isLost(job, now, afterMs));
    },
    async prune(before, limit) {
      return (await change(pool, "DELETE FROM jobs WHERE state = 'done' AND finished_at < ? LIMIT ?", [before, limit]))
        .found;
    },
  };
}

function jobOf(row: Row): Job {
  return {
    id: row.id,
    kind: row.kind,
    accountId: row.account_id,
    notificationId: row.notification_id,
    orderId: row.order_id,
    day: row.day,
    after: row.after_job,
    state: row.state,
    priority: row.priority,
    runAt: row.run_at,
    attempts: row.attempts,
    doubtful: row.doubtful,
    progress: row.progress,
    leaseUntil: row.lease_until,
    error: row.error,
    result: row.result,
    createdAt: row.created_at,
    finishedAt: row.finished_at,
  };
}
