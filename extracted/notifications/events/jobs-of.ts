import type { Executor } from '@strangler/platform/mysql/statements.ts';
import { jobIds, type NewJob, priorityOf } from '../jobs/job.ts';
import { addJob } from '../jobs/job-store.ts';
import type { NotificationKind } from '../notifications/wording.ts';
import { preferencesOf } from '../recipients/recipients.ts';

type Delivered = { id: number; accountId: number; kind: NotificationKind; orderId: number };

/**
 * Adds what has to be done for a notification that is delivered here, in the transaction that writes it: an invoice where money
 * has come, and a mail where its account wants one of each. Returns the jobs' ids, in the order in which they are to be done.
 */
export async function addJobsOf(
  transaction: Executor,
  { id, accountId, kind, orderId }: Delivered,
  { now, mailDelayMs }: { now: Date; mailDelayMs: number },
): Promise<string[]> {
  const jobs: NewJob[] = [];
  const invoice = kind === 'payment_settled' ? jobIds.invoice(orderId) : null;
  const common = { accountId, notificationId: id, orderId, day: null };
  if (invoice !== null) {
    jobs.push({ ...common, id: invoice, kind: 'invoice', after: null, priority: priorityOf('invoice'), runAt: now });
  }
  if ((await preferencesOf(transaction, accountId)).email === 'each') {
    const runAt = new Date(now.getTime() + mailDelayMs);
    jobs.push({ ...common, id: jobIds.email(id), kind: 'email', after: invoice, priority: priorityOf(kind), runAt });
  }
  for (const job of jobs) await addJob(transaction, job, now);
  return jobs.map((job) => job.id);
}
