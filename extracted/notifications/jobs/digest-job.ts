import { type Executor, select } from '@strangler/platform/mysql/statements.ts';
import { digestMail } from '../mail/message.ts';
import { type Notification, notificationColumns } from '../notifications/notification.ts';
import { domainOf, type EmailParts } from './email-job.ts';
import { jobIds, priorityOf } from './job.ts';
import { addJob } from './job-store.ts';
import { type Effect, JobFailure } from './run-job.ts';

/** How many notifications a digest shows. */
const mostShown = 50;

/** Sends one mail about all that an account has not read. */
export function createDigestEffect({
  pool,
  recipients,
  settings,
  sender,
  fromAddress,
}: Omit<EmailParts, 'invoices'>): Effect {
  return async (job, locale, progress) => {
    const { accountId, day } = job;
    if (day === null) throw new JobFailure('for good', `job ${job.id} has no day`);
    const notifications = await select<Notification>(
      pool,
      `SELECT ${notificationColumns} FROM notifications WHERE account_id = ? AND read_at IS NULL ORDER BY id DESC LIMIT ?`,
      [accountId, mostShown],
    );
    if (notifications.length === 0) return 'read before';
    const { address, name } = await recipients.find(accountId);
    if (address === undefined) throw new JobFailure('for now', `no address is known of account ${accountId}`);
    await progress(50);
    const [mailbox] = await select<{ unread: number }>(
      pool,
      'SELECT unread FROM notification_mailboxes WHERE account_id = ?',
      [accountId],
    );
    const unread = mailbox?.unread ?? notifications.length;
    const to = { name, address };
    const message = digestMail({ day, accountId, notifications, unread, to, locale, domain: domainOf(fromAddress) });
    await sender.send(message, { name: settings.now().sender_name, address: fromAddress });
    return 'sent';
  };
}

/** Adds the digests of a day for whoever wants them and has something unread; returns the jobs' ids, new or not. */
export async function addDigests(executor: Executor, day: string, now: Date): Promise<string[]> {
  const accounts = await select<{ account_id: number }>(
    executor,
    `SELECT p.account_id FROM preferences p JOIN notification_mailboxes m ON m.account_id = p.account_id
      WHERE p.email = 'digest' AND m.unread > 0 ORDER BY p.account_id`,
  );
  const ids: string[] = [];
  for (const { account_id: accountId } of accounts) {
    const id = jobIds.digest(day, accountId);
    const none = { notificationId: null, orderId: null, after: null };
    await addJob(
      executor,
      { ...none, id, kind: 'digest', accountId, day, priority: priorityOf('digest'), runAt: now },
      now,
    );
    ids.push(id);
  }
  return ids;
}
