import type { AddressInfo } from 'node:net';
import { pause } from '@strangler/platform/backoff.ts';
import { runAsJob } from '@strangler/platform/http/request-context.ts';
import type { Log } from '@strangler/platform/log.ts';
import PostalMime from 'postal-mime';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';
import type { Fault } from './fault.ts';
import type { Mailbox } from './mailbox.ts';

/** The largest message that is taken. */
const mostBytes = 10 * 1024 * 1024;

export type RunningSmtp = { host: string; port: number; stop(): Promise<void> };

/** Takes whatever mail comes, on one address, without passwords and without TLS: for this machine only. */
export async function startSmtp({
  mailbox,
  host,
  port,
  log,
}: {
  mailbox: Mailbox;
  host: string;
  port: number;
  log: Log;
}): Promise<RunningSmtp> {
  const faults = new WeakMap<SMTPServerSession, Fault>();
  const stopping = new AbortController();

  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    disableReverseLookup: true,
    size: mostBytes,
    closeTimeout: 500,
    async onMailFrom(_address, session, done) {
      const fault = mailbox.nextFault();
      faults.set(session, fault);
      if (fault.mode === 'slow') await pause(fault.delay_ms, stopping.signal);
      // A hanging server does not even refuse.
      if (fault.mode !== 'hang') done();
    },
    async onRcptTo(_address, session, done) {
      const fault = faults.get(session);
      if (fault?.mode === 'slow') await pause(fault.delay_ms, stopping.signal);
      done(fault?.mode === 'refuse-for-good' ? reply(550, 'there is nobody of that name here') : null);
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.once('end', () => {
        runAsJob('take mail', () => take(Buffer.concat(chunks), session)).then(
          (answer) => {
            if (answer !== 'none') done(answer);
          },
          (error: unknown) => {
            log.warn({ err: error }, 'a mail could not be read');
            done(reply(554, 'this is no mail'));
          },
        );
      });
    },
  });

  async function take(raw: Buffer, session: SMTPServerSession): Promise<Error | null | 'none'> {
    const fault = faults.get(session);
    if (fault?.mode === 'slow') await pause(fault.delay_ms, stopping.signal);
    if (fault?.mode === 'refuse-now') return reply(451, 'not now');
    const mail = await PostalMime.parse(raw);
    mailbox.add({
      messageId: mail.messageId ?? '',
      from: mail.from === undefined ? '' : `${mail.from.name} <${mail.from.address ?? ''}>`,
      to: session.envelope.rcptTo.map(({ address }) => address),
      subject: mail.subject ?? '',
      text: mail.text ?? '',
      attachments: mail.attachments.map(({ filename, mimeType, content }) => ({
        filename: filename ?? '',
        contentType: mimeType,
        content: typeof content === 'string' ? Buffer.from(content) : Buffer.from(content as ArrayBuffer),
      })),
      receivedAt: new Date(),
    });
    if (fault?.mode !== 'lose-answer') return null;
    cut(session);
    return 'none';
  }

  /** Ends a session's connection without a word. */
  function cut(session: SMTPServerSession): void {
    for (const connection of server.connections) {
      if ((connection as unknown as { session?: SMTPServerSession }).session === session) {
        (connection as unknown as { _socket: { destroy(): void } })._socket.destroy();
      }
    }
  }

  server.on('error', (error) => log.debug({ err: error }, 'a connection of the mailbox failed'));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port: taken } = server.server.address() as AddressInfo;
  return {
    host,
    port: taken,
    async stop() {
      stopping.abort();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function reply(responseCode: number, text: string): Error {
  return Object.assign(new Error(text), { responseCode });
}
