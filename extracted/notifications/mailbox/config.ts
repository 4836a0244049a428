import { integer, loadConfig, port } from '@strangler/platform/config.ts';
import { z } from 'zod';

const schema = z.object({
  /** It believes everybody: unless told otherwise, it listens on this machine only. */
  HOST: z.string().min(1).default('127.0.0.1'),
  /** Where mails are looked at. */
  PORT: port().default(3113),
  SMTP_PORT: port().default(3125),
  /** The oldest goes when there are more. */
  MAX_MAILS: integer({ min: 1, max: 100_000 }).default(2_000),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

export type MailboxConfig = { host: string; port: number; smtpPort: number; mostMails: number; logLevel: string };

/** The environment as a typed configuration; throws a ConfigError that names every bad variable. */
export function mailboxConfig(env: NodeJS.ProcessEnv = process.env): MailboxConfig {
  const c = loadConfig('mailbox', schema, env);
  return { host: c.HOST, port: c.PORT, smtpPort: c.SMTP_PORT, mostMails: c.MAX_MAILS, logLevel: c.LOG_LEVEL };
}
