import { type RunningServer, startHttpServer } from '@strangler/platform/http/server.ts';
import { createLifecycle, type Lifecycle } from '@strangler/platform/lifecycle.ts';
import type { Log } from '@strangler/platform/log.ts';
import type { MailboxConfig } from './config.ts';
import { mailboxApp } from './http.ts';
import { createMailbox, type Mailbox } from './mailbox.ts';
import { startSmtp } from './smtp.ts';

export type RunningMailbox = { mailbox: Mailbox; smtpUrl: string; server: RunningServer; lifecycle: Lifecycle };

/** Takes mail by SMTP and shows it over HTTP. */
export async function startMailbox({ config, log }: { config: MailboxConfig; log: Log }): Promise<RunningMailbox> {
  const lifecycle = createLifecycle({ log, graceMs: 2_000 });
  try {
    const mailbox = createMailbox({ most: config.mostMails });
    const { host } = config;
    const smtp = await startSmtp({ mailbox, host, port: config.smtpPort, log });
    lifecycle.onStop('drain', 'smtp', () => smtp.stop());
    const server = await startHttpServer({ handler: mailboxApp({ mailbox, log }), host, port: config.port, log });
    lifecycle.onStop('drain', 'http server', ({ graceMs }) => server.drain(graceMs));
    const smtpUrl = `smtp://${smtp.host}:${smtp.port}`;
    log.info({ url: server.url, smtpUrl }, 'the mailbox takes mail');
    return { mailbox, smtpUrl, server, lifecycle };
  } catch (error) {
    await lifecycle.stop('start failed');
    throw error;
  }
}
