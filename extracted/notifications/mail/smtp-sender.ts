import MailComposer from 'nodemailer/lib/mail-composer';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { Failure } from '../jobs/job.ts';
import { JobFailure } from '../jobs/run-job.ts';
import type { MailMessage } from './message.ts';

export type Sender = {
  /**
   * Resolves when the mail server has taken the message.
   * @throws JobFailure saying whether it may have.
   */
  send(message: MailMessage, from: { name: string; address: string }): Promise<void>;
};

export type SmtpOptions = {
  host: string;
  port: number;
  user: string | undefined;
  password: string | undefined;
  /** Of the connection, the greeting, and of each answer. */
  timeoutMs: number;
};

/** Where a conversation with a mail server was when it failed. */
export type Phase = 'before the message' | 'the message is under way';

/**
 * What a failed conversation means. An answer of the server's is its word: 5xx will not get better, 4xx may. Without one, what had
 * not begun to be sent was not taken; what had, nobody knows: the server may have taken it and its answer been lost.
 */
export function failureOf(phase: Phase, error: { responseCode?: number | undefined }): Failure {
  const { responseCode } = error;
  if (responseCode !== undefined) return responseCode >= 500 ? 'for good' : 'for now';
  return phase === 'before the message' ? 'for now' : 'unknown';
}

/** One connection a mail: mails are few, and what a connection's failure means is then clear. */
export function createSmtpSender(options: SmtpOptions): Sender {
  const { host, port, user, password, timeoutMs } = options;
  return {
    async send(message, from) {
      const composed = new MailComposer({
        messageId: message.messageId,
        from,
        to: { name: message.to.name ?? '', address: message.to.address },
        subject: message.subject,
        text: message.text,
        attachments: message.attachments,
        headers: { 'Auto-Submitted': 'auto-generated' },
        disableFileAccess: true,
        disableUrlAccess: true,
      });
      const raw = await composed.compile().build();
      const connection = new SMTPConnection({
        host,
        port,
        connectionTimeout: timeoutMs,
        greetingTimeout: timeoutMs,
        socketTimeout: timeoutMs,
        dnsTimeout: timeoutMs,
      });
      let phase: Phase = 'before the message';
      try {
        await step(connection, (done) => connection.connect(done));
        if (user !== undefined) {
          await step(connection, (done) => connection.login({ user, pass: password ?? '' }, done));
        }
        phase = 'the message is under way';
        const envelope = { from: from.address, to: [message.to.address] };
        await step(connection, (done) => connection.send(envelope, raw, done));
        connection.quit();
      } catch (error) {
        connection.close();
        const told = error as Error & { responseCode?: number };
        const failure = failureOf(phase, told);
        throw new JobFailure(failure, `SMTP ${host}:${port}, ${phase}: ${told.message}`, { cause: error });
      }
    },
  };
}

/** One step of a conversation; fails too when the connection does. */
function step(connection: SMTPConnection, run: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(error);
    const end = (): void => reject(new Error('the connection was closed'));
    connection.once('error', fail);
    connection.once('end', end);
    run((error) => {
      connection.off('end', end);
      connection.off('error', fail);
      // What fails later is of no step any more.
      connection.on('error', () => {});
      if (error) reject(error);
      else resolve();
    });
  });
}
