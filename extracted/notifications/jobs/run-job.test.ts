import { expect, test } from '@jest/globals';
import { createLog } from '@strangler/platform/log.ts';
import { Registry } from 'prom-client';
import { systemClock } from '../clock.ts';
import type { Job } from './job.ts';
import type { JobStore } from './job-store.ts';
import { createRunJob, type Effect, JobFailure } from './run-job.ts';

const job = { id: 'email-1', kind: 'email', doubtful: 0 } as Job;

/** Runs one attempt over a store that keeps what it was told; `done` throws so often first. */
async function attempt(effect: Effect, { doneFails = 0, last = false } = {}) {
  const told: string[] = [];
  let failures = doneFails;
  const store: Partial<JobStore> = {
    begin: async () => ({ begin: { outcome: 'run', doubtful: 0 }, job }),
    progress: async () => {},
    async done() {
      failures -= 1;
      if (failures >= 0) throw new Error('the database is away');
      told.push('done');
    },
    async failed(_job, failure) {
      told.push(failure);
      return last || failure === 'for good' ? 'failed' : 'pending';
    },
  };
  const over: string[] = [];
  const run = createRunJob({
    ...{ jobs: store as JobStore, leaseMs: 1_000, clock: systemClock, registry: new Registry() },
    effects: { email: effect, invoice: effect, digest: effect },
    isOver: async (id) => void over.push(id),
    log: createLog({ name: 'test', level: 'silent' }),
  });
  const ran = await run('email-1', { locale: 'en', last, progress: async () => {} });
  return { outcome: ran.outcome, told, over };
}

const fails = (error: Error) => () => Promise.reject(error);

test('what took effect is never written as a failed attempt, though the database cannot be told', async () => {
  expect(await attempt(async () => 'sent')).toEqual({ outcome: 'over', told: ['done'], over: ['email-1'] });
  expect(await attempt(async () => 'sent', { doneFails: 2 })).toMatchObject({ outcome: 'over', told: ['done'] });
  expect(await attempt(async () => 'sent', { doneFails: 99 })).toEqual({ outcome: 'again', told: [], over: [] });
});

test('what failed is written as what is known of it, and those that wait go on when it is over', async () => {
  const again = { outcome: 'again', over: [] };
  const failed = { outcome: 'failed', over: ['email-1'] };
  expect(await attempt(fails(new Error('boom')))).toEqual({ ...again, told: ['for now'] });
  expect(await attempt(fails(new JobFailure('unknown', 'lost')))).toEqual({ ...again, told: ['unknown'] });
  expect(await attempt(fails(new JobFailure('for good', 'never')))).toEqual({ ...failed, told: ['for good'] });
  expect(await attempt(fails(new Error('boom')), { last: true })).toEqual({ ...failed, told: ['for now'] });
});
