import { pause } from '@strangler/platform/backoff.ts';
import type { Log } from '@strangler/platform/log.ts';
import { Counter, type Registry } from 'prom-client';
import type { Clock } from '../clock.ts';
import type { Locale } from '../recipients/recipients.ts';
import type { Failure, Job, JobKind } from './job.ts';
import type { JobStore } from './job-store.ts';

/** An attempt that failed, and what is known of its effect. Any other error that an effect throws is `for now`. */
export class JobFailure extends Error {
  override name = 'JobFailure';
  readonly failure: Failure;

  constructor(failure: Failure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.failure = failure;
  }
}

/** What a kind of job does; returns what became of it in a word. `progress` is in per cent. */
export type Effect = (job: Job, locale: Locale, progress: (percent: number) => Promise<void>) => Promise<string>;

export type Ran =
  | { outcome: 'over'; result: string }
  | { outcome: 'busy'; forMs: number }
  | { outcome: 'again'; error: Error }
  | { outcome: 'failed'; error: Error };

export type RunJob = (
  id: string,
  options: { locale: Locale; last: boolean; progress: (percent: number) => Promise<void> },
) => Promise<Ran>;

/**
 * Runs one attempt of a job: leased in the database before its effect and told there after it. `isOver` is called with each job
 * that has ended, so that those which wait for it go on.
 */
export function createRunJob({
  jobs,
  effects,
  leaseMs,
  clock,
  isOver,
  log,
  registry,
}: {
  jobs: JobStore;
  effects: Readonly<Record<JobKind, Effect>>;
  /** Longer than any attempt takes. */
  leaseMs: number;
  clock: Clock;
  isOver(id: string): Promise<void>;
  log: Log;
  registry: Registry;
}): RunJob {
  const attempts = new Counter({
    name: 'notifications_job_attempts_total',
    help: 'Attempts of jobs by kind and outcome: done, again, failed, unknown (may have taken effect), given-up.',
    labelNames: ['kind', 'outcome'],
    registers: [registry],
  });

  return async (id, { locale, last, progress }) => {
    const begun = await jobs.begin(id, clock.now(), leaseMs);
    if (begun === undefined) return { outcome: 'over', result: 'there is no such job any more' };
    const { begin, job } = begun;
    if (begin.outcome === 'busy') return begin;
    if (begin.outcome === 'over') return { outcome: 'over', result: `${begin.state} before` };
    if (begin.outcome === 'give up') {
      attempts.inc({ kind: job.kind, outcome: 'given-up' });
      await isOver(id);
      return { outcome: 'failed', error: new Error(`job ${id}: too many attempts ended without a word`) };
    }
    let result: string;
    try {
      result = await effects[job.kind](job, locale, async (percent) => {
        await Promise.all([jobs.progress(id, percent), progress(percent)]);
      });
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      const failure = error instanceof JobFailure ? error.failure : 'for now';
      const state = await jobs.failed(job, failure, { error: error.message, last, now: clock.now() });
      const outcome = failure === 'unknown' ? 'unknown' : state === 'failed' ? 'failed' : 'again';
      attempts.inc({ kind: job.kind, outcome });
      log.warn({ err: error, job: id, failure, state }, 'an attempt of a job failed');
      if (state === 'pending') return { outcome: 'again', error };
      await isOver(id);
      return { outcome: 'failed', error };
    }
    try {
      await told(() => jobs.done(id, result, clock.now()));
    } catch (error) {
      // It took effect. Not to be written as a failed attempt: it stays leased, and whoever has it next counts it as doubtful.
      attempts.inc({ kind: job.kind, outcome: 'unknown' });
      log.error({ err: error, job: id, result }, 'a job took effect and could not be written as done');
      return { outcome: 'again', error: error instanceof Error ? error : new Error(String(error)) };
    }
    attempts.inc({ kind: job.kind, outcome: 'done' });
    await isOver(id);
    return { outcome: 'over', result };
  };
}

const tellTries = 5;

/** The database may be away for a moment just then. */
async function told(tell: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await tell();
    } catch (error) {
      if (tries >= tellTries) throw error;
      await pause(50 * 2 ** tries);
    }
  }
}
