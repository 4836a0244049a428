import { type Auth, identityOf } from '@strangler/platform/auth/auth.ts';
import { jsonBody } from '@strangler/platform/http/json-body.ts';
import { problems } from '@strangler/platform/http/problem.ts';
import { integerText, parseBody, parseParams, parseQuery } from '@strangler/platform/http/validate.ts';
import type { RequestHandler, Router } from 'express';
import { z } from 'zod';
import type { Commands } from '../exchanges/commands.ts';
import { type Job, jobStates } from './job.ts';
import type { JobStore } from './job-store.ts';

const jobParams = z.object({
  id: z.string().regex(/^[a-z]+-[0-9-]{1,56}$/, 'must be the id of a job, such as email-1'),
});
const digestsBody = z.strictObject({ day: z.iso.date() });
const listQuery = z.strictObject({
  state: z.enum(jobStates).optional(),
  limit: integerText({ min: 1, max: 100 }).default(20),
  before: jobParams.shape.id.optional(),
});

export function addJobRoutes(
  routes: Router,
  {
    auth,
    operatorOnly,
    jobs,
    commands,
  }: { auth: Auth; operatorOnly: RequestHandler; jobs: JobStore; commands: Commands | undefined },
): void {
  const admin = auth.requireRole('admin');

  routes.get('/api/notifications/jobs', admin, async (request, response) => {
    const { state, limit, before } = parseQuery(listQuery, request);
    const items = await jobs.list({ state, limit, before });
    response.json({ items: items.map(jobJson) });
  });

  routes.get('/api/notifications/jobs/:id', auth.requireAccount(), async (request, response) => {
    const { id } = parseParams(jobParams, request);
    const { accountId, role } = identityOf(request);
    const job = await jobs.find(id);
    if (job === undefined || (role !== 'admin' && job.accountId !== accountId)) {
      throw problems.notFound(`There is no job ${id}.`);
    }
    response.json(jobJson(job));
  });

  routes.post('/api/notifications/jobs/:id/retry', admin, async (request, response) => {
    const { id } = parseParams(jobParams, request);
    const job = await jobs.find(id);
    if (job === undefined) throw problems.notFound(`There is no job ${id}.`);
    if (job.state !== 'failed') throw problems.conflict(`Job ${id} is ${job.state}; only a failed one is tried again.`);
    if (commands === undefined) throw problems.unavailable(5, 'RABBITMQ_URL is not set: no worker can be told.');
    await commands.give(job.kind, { do: 'retry', job: id }, 'byHand');
    response.status(202).json(jobJson(job));
  });

  // What the schedule does each day, now: for a day on which it did not.
  routes.post('/internal/digests', operatorOnly, admin, jsonBody(), async (request, response) => {
    const { day } = parseBody(digestsBody, request);
    if (commands === undefined) throw problems.unavailable(5, 'RABBITMQ_URL is not set: no worker can be told.');
    await commands.give('digest', { do: 'digests', day }, 'byHand');
    response.status(202).json({ day });
  });
}

export function jobJson(job: Job) {
  return {
    id: job.id,
    kind: job.kind,
    account_id: job.accountId,
    notification_id: job.notificationId,
    order_id: job.orderId,
    state: job.state,
    priority: job.priority,
    progress: job.progress,
    attempts: job.attempts,
    doubtful: job.doubtful,
    error: job.error,
    result: job.result,
    run_at: job.runAt.toISOString(),
    created_at: job.createdAt.toISOString(),
    finished_at: job.finishedAt?.toISOString() ?? null,
  };
}
