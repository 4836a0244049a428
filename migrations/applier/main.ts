import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { applierConfig } from './config.ts';
import { startApplierProcess } from './process.ts';

const config = exitOnConfigError(() => applierConfig());
const log = createLog({ name: 'applier', level: config.logLevel });
await startTracing('applier');
try {
  const applier = await startApplierProcess({ config, log });
  applier.lifecycle.installSignals();
} catch (error) {
  log.fatal({ err: error }, 'the applier could not start');
  process.exitCode = 1;
}
