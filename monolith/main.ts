import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { monolithConfig } from './config.ts';
import { startShop } from './shop.ts';

const config = exitOnConfigError(() => monolithConfig());
const log = createLog({ name: 'monolith', level: config.logLevel });
await startTracing('monolith');
try {
  const shop = await startShop({ config, log });
  shop.lifecycle.installSignals();
} catch (error) {
  log.fatal({ err: error }, 'the monolith could not start');
  process.exitCode = 1;
}
