import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { paymentsConfig } from './config.ts';
import { startPayments } from './payments.ts';

const config = exitOnConfigError(() => paymentsConfig());
const log = createLog({ name: 'payments', level: config.logLevel });
await startTracing('payments');
try {
  const payments = await startPayments({ config, log });
  payments.lifecycle.installSignals();
} catch (error) {
  log.fatal({ err: error }, 'the payments could not start');
  process.exitCode = 1;
}
