import { select } from '@strangler/platform/mysql/statements.ts';
import type { Pool } from 'mysql2/promise';
import type { Invoices } from '../invoices/invoices.ts';
import { notificationMail } from '../mail/message.ts';
import type { Sender } from '../mail/smtp-sender.ts';
import { type Notification, notificationColumns } from '../notifications/notification.ts';
import type { Recipients } from '../recipients/recipients.ts';
import type { Settings } from '../settings/settings.ts';
import { type Effect, JobFailure } from './run-job.ts';

export type EmailParts = {
  pool: Pool;
  recipients: Pick<Recipients, 'find'>;
  invoices: Pick<Invoices, 'find'>;
  settings: Pick<Settings, 'now'>;
  sender: Sender;
  /** The address that mails come from. */
  fromAddress: string;
};

/** Sends the mail of one notification. One that was read meanwhile needs none any more. */
export function createEmailEffect({ pool, recipients, invoices, settings, sender, fromAddress }: EmailParts): Effect {
  return async (job, locale, progress) => {
    const sql = `SELECT ${notificationColumns} FROM notifications WHERE id = ?`;
    const [notification] = await select<Notification>(pool, sql, [job.notificationId]);
    if (notification === undefined) throw new JobFailure('for good', `there is no notification ${job.notificationId}`);
    if (notification.read_at !== null) return 'read before';
    const { address, name } = await recipients.find(job.accountId);
    if (address === undefined) {
      // The copy of the accounts may be behind.
      throw new JobFailure('for now', `no address is known of account ${job.accountId}`);
    }
    await progress(10);
    const invoice =
      notification.kind === 'payment_settled' ? await invoices.find(notification.order_id ?? 0) : undefined;
    const message = notificationMail({
      notification,
      to: { name, address },
      locale,
      domain: domainOf(fromAddress),
      attachments:
        invoice === undefined
          ? []
          : [
              {
                filename: `invoice-${notification.order_id}.pdf`,
                contentType: 'application/pdf',
                content: invoice.pdf,
              },
            ],
    });
    await progress(50);
    await sender.send(message, { name: settings.now().sender_name, address: fromAddress });
    return 'sent';
  };
}

export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1);
}
