import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { notificationsConfig } from './config.ts';
import { startNotifications } from './service.ts';

const config = exitOnConfigError(() => notificationsConfig());
const log = createLog({ name: 'notifications', level: config.logLevel });
await startTracing('notifications');
try {
  const service = await startNotifications({ config, log });
  service.lifecycle.installSignals();
} catch (error) {
  log.fatal({ err: error }, 'the notifications could not start');
  process.exitCode = 1;
}
