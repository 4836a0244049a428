import { exitOnConfigError } from '@strangler/platform/config.ts';
import { createLog } from '@strangler/platform/log.ts';
import { startTracing } from '@strangler/platform/tracing/start.ts';
import { startCatalog } from './catalog.ts';
import { catalogConfig } from './config.ts';

const config = exitOnConfigError(() => catalogConfig());
const log = createLog({ name: 'catalog', level: config.logLevel });
await startTracing('catalog');
try {
  const catalog = await startCatalog({ config, log });
  catalog.lifecycle.installSignals();
} catch (error) {
  log.fatal({ err: error }, 'the catalogue could not start');
  process.exitCode = 1;
}
