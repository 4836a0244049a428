import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { mailboxConfig } from './config.ts';
import { startMailbox } from './start.ts';

const config = exitOnConfigError(() => mailboxConfig());
const log = createLog({ name: 'mailbox', level: config.logLevel });
await startTracing('mailbox');
try {
  const { lifecycle } = await startMailbox({ config, log });
  lifecycle.installSignals();
} catch (error) {
  log.fatal({ err: error }, 'the mailbox could not start');
  process.exitCode = 1;
}
