import type { Notification } from '../notifications/notification.ts';
import type { Locale } from '../recipients/recipients.ts';

export type Attachment = { filename: string; contentType: string; content: Buffer };

/** A mail before it is put into its format. */
export type MailMessage = {
  /** Derived from what it tells of: a copy bears the same one, and mail programs show one. */
  messageId: string;
  to: { name: string | undefined; address: string };
  subject: string;
  text: string;
  attachments: Attachment[];
};

/** What stands around the wording, by language. The wording itself is the shop's and is not translated. */
const frames: Readonly<
  Record<Locale, { hello: (name: string) => string; bye: string; digest: (n: number) => string }>
> = {
  en: {
    hello: (name) => `Hello ${name},`,
    bye: 'You find all of this in your account.',
    digest: (n) => (n === 1 ? 'One unread notification' : `${n} unread notifications`),
  },
  de: {
    hello: (name) => `Guten Tag ${name},`,
    bye: 'All das finden Sie in Ihrem Konto.',
    digest: (n) => (n === 1 ? 'Eine ungelesene Nachricht' : `${n} ungelesene Nachrichten`),
  },
};

type Told = Pick<Notification, 'id' | 'title' | 'body'>;

/** The mail that tells of one notification. `domain` is the right side of its message id. */
export function notificationMail({
  notification,
  to,
  locale,
  domain,
  attachments,
}: {
  notification: Told;
  to: MailMessage['to'];
  locale: Locale;
  domain: string;
  attachments: Attachment[];
}): MailMessage {
  return {
    messageId: `<notification-${notification.id}@${domain}>`,
    to,
    subject: notification.title,
    text: framed(locale, to, notification.body),
    attachments,
  };
}

/** The mail that tells of all unread ones of an account. */
export function digestMail({
  day,
  accountId,
  notifications,
  unread,
  to,
  locale,
  domain,
}: {
  day: string;
  accountId: number;
  /** The newest, newest first. */
  notifications: readonly Told[];
  unread: number;
  to: MailMessage['to'];
  locale: Locale;
  domain: string;
}): MailMessage {
  const list = notifications.map(({ title, body }) => `- ${title}: ${body}`).join('\n');
  return {
    messageId: `<digest-${day}-${accountId}@${domain}>`,
    to,
    subject: frames[locale].digest(unread),
    text: framed(locale, to, list),
    attachments: [],
  };
}

function framed(locale: Locale, { name, address }: MailMessage['to'], content: string): string {
  const { hello, bye } = frames[locale];
  return `${hello(name ?? address)}\n\n${content}\n\n${bye}\n`;
}
